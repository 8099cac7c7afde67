//! Small, valid ELF files for tests: only what a loader reads.

/// What the file says.
#[derive(Default)]
pub struct Fixture<'a> {
    /// `PT_INTERP`.
    pub interpreter: Option<&'a str>,
    /// `DT_SONAME`.
    pub soname: Option<&'a str>,
    /// `DT_NEEDED`.
    pub needed: &'a [&'a str],
    /// `DT_RUNPATH`.
    pub runpath: Option<&'a str>,
    /// JSON of one dlopen note.
    pub dlopen: Option<&'a str>,
    /// `e_machine`; 0 stands for x86-64.
    pub machine: u16,
}

const PROGRAM_HEADER_AT: usize = 64;
const DATA_AT: usize = 64 + 56;

impl Fixture<'_> {
    /// Bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        let (dynamic, strings) = self.dynamic();
        let note = self.dlopen.map(note).unwrap_or_default();
        let interp = self.interpreter.map(|i| format!("{i}\0").into_bytes()).unwrap_or_default();
        let names = b"\0.dynamic\0.dynstr\0.note.dlopen\0.shstrtab\0".to_vec();
        let mut file = vec![0u8; DATA_AT];
        let mut at = [0usize; 5];
        for (slot, part) in at.iter_mut().zip([&interp, &dynamic, &strings, &note, &names]) {
            *slot = file.len();
            file.extend(part);
            file.resize(file.len().next_multiple_of(8), 0);
        }
        let sections_at = file.len();
        file.extend([0u8; 64]);
        file.extend(section(1, 6, at[1], dynamic.len(), 2, 16));
        file.extend(section(10, 3, at[2], strings.len(), 0, 0));
        file.extend(section(18, 7, at[3], note.len(), 0, 0));
        file.extend(section(31, 3, at[4], names.len(), 0, 0));
        self.headers(&mut file, at[0], interp.len(), sections_at);
        file
    }

    fn dynamic(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut dynamic, mut strings) = (Vec::new(), vec![0u8]);
        let all = self
            .needed
            .iter()
            .map(|n| (1u64, *n))
            .chain(self.soname.map(|s| (14, s)))
            .chain(self.runpath.map(|r| (29, r)));
        for (tag, text) in all {
            dynamic.extend(tag.to_le_bytes());
            dynamic.extend((strings.len() as u64).to_le_bytes());
            strings.extend(text.as_bytes());
            strings.push(0);
        }
        dynamic.extend([0u8; 16]);
        (dynamic, strings)
    }

    fn headers(&self, file: &mut [u8], interp_at: usize, interp_len: usize, sections_at: usize) {
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01\x01");
        put(16, &3u16.to_le_bytes()); // ET_DYN
        put(18, &if self.machine == 0 { 62 } else { self.machine }.to_le_bytes());
        put(20, &1u32.to_le_bytes());
        put(32, &(PROGRAM_HEADER_AT as u64).to_le_bytes());
        put(40, &(sections_at as u64).to_le_bytes());
        for (at, value) in [(52, 64u16), (54, 56), (56, 1), (58, 64), (60, 5), (62, 4)] {
            put(at, &value.to_le_bytes());
        }
        let kind: u32 = if interp_len == 0 { 0 } else { 3 };
        put(PROGRAM_HEADER_AT, &kind.to_le_bytes());
        put(PROGRAM_HEADER_AT + 8, &(interp_at as u64).to_le_bytes());
        put(PROGRAM_HEADER_AT + 32, &(interp_len as u64).to_le_bytes());
    }
}

fn section(name: u32, kind: u32, at: usize, len: usize, link: u32, entry: u64) -> [u8; 64] {
    let mut s = [0u8; 64];
    s[0..4].copy_from_slice(&name.to_le_bytes());
    s[4..8].copy_from_slice(&kind.to_le_bytes());
    s[24..32].copy_from_slice(&(at as u64).to_le_bytes());
    s[32..40].copy_from_slice(&(len as u64).to_le_bytes());
    s[40..44].copy_from_slice(&link.to_le_bytes());
    s[56..64].copy_from_slice(&entry.to_le_bytes());
    s
}

fn note(json: &str) -> Vec<u8> {
    let mut desc = format!("{json}\0").into_bytes();
    let len = desc.len() as u32;
    desc.resize(desc.len().next_multiple_of(4), 0);
    [&4u32.to_le_bytes()[..], &len.to_le_bytes(), &0x407c_0c0au32.to_le_bytes(), b"FDO\0", &desc].concat()
}

#[test]
fn fixture_is_read_back() {
    let json = r#"[{"feature":"kmod","priority":"recommended","soname":["libkmod.so.2"]}]"#;
    let bytes = Fixture {
        interpreter: Some("/lib64/ld.so"),
        soname: Some("liba.so.1"),
        needed: &["libb.so.2", "libc.so.6"],
        runpath: Some("/usr/lib/x:/usr/lib/y"),
        dlopen: Some(json),
        machine: 183,
    }
    .bytes();
    let info = super::elf::parse(&bytes).expect("valid");
    assert_eq!(info.interpreter.as_deref(), Some("/lib64/ld.so"));
    assert_eq!(info.soname.as_deref(), Some("liba.so.1"));
    assert_eq!(info.needed, ["libb.so.2", "libc.so.6"]);
    assert_eq!(info.runpath, ["/usr/lib/x", "/usr/lib/y"]);
    assert_eq!((info.dlopen[0].soname[0].as_str(), info.dlopen[0].priority.as_str()), ("libkmod.so.2", "recommended"));
    assert_eq!((info.machine, info.relocatable), (183, false));
}
