{
  "format": {
    "name": "skerry-signature",
    "version": 1
  },
  "keyid": "0808080808080808080808080808080808080808080808080808080808080808",
  "signature": "abababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababab"
}
