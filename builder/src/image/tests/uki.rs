use proptest::prelude::*;

use crate::image::uki::{UkiSections, build, parse};

const HEADERS: usize = 0x400;

/// A PE32+ file with one section, as small as it can be.
fn stub(flags: u16, signed: bool) -> Vec<u8> {
    let mut b = vec![0; HEADERS];
    let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x80u32.to_le_bytes());
    put(0x80, b"PE\0\0");
    put(0x86, &1u16.to_le_bytes());
    put(0x94, &240u16.to_le_bytes());
    let optional = 0x98;
    put(optional, &0x20bu16.to_le_bytes());
    put(optional + 32, &4096u32.to_le_bytes());
    put(optional + 36, &512u32.to_le_bytes());
    put(optional + 60, &(HEADERS as u32).to_le_bytes());
    put(optional + 64, &0xdead_beefu32.to_le_bytes());
    put(optional + 70, &flags.to_le_bytes());
    put(optional + 108, &16u32.to_le_bytes());
    if signed {
        put(optional + 112 + 32, &0x1000u32.to_le_bytes());
    }
    let section = optional + 240;
    put(section, b".text");
    for (i, n) in [700u32, 4096, 1024, HEADERS as u32].into_iter().enumerate() {
        put(section + 8 + 4 * i, &n.to_le_bytes());
    }
    b.resize(HEADERS + 1024, 0x90);
    b
}

fn sections<'a>(linux: &'a [u8], cmdline: &'a [u8]) -> UkiSections<'a> {
    UkiSections { osrel: b"ID=skerry\n", cmdline, uname: b"6.12", initrd: b"initrd", linux }
}

#[test]
fn sections_come_back_and_the_stub_is_untouched_behind_its_header() {
    let linux = vec![5; 10_001];
    let want = sections(&linux, b"composefs=x");
    let stub = stub(0, false);
    let uki = build(&stub, &want).unwrap();
    assert_eq!(parse(&uki).unwrap(), want);
    assert_eq!(uki, build(&stub, &want).unwrap());
    assert_eq!(uki[HEADERS..HEADERS + 1024], stub[HEADERS..]);
    let le32 = |at: usize| u32::from_le_bytes(uki[at..at + 4].try_into().unwrap());
    assert_eq!(u16::from_le_bytes([uki[0x86], uki[0x87]]), 6);
    assert_eq!(le32(0x98 + 64), 0, "checksum");
    // .text, four small sections of one page each, .linux of three.
    assert_eq!(le32(0x98 + 56), 4096 * (1 + 1 + 4 + 3), "size of image");
}

#[test]
fn objdump_sees_the_sections() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), build(&stub(0, false), &sections(&[1; 600], b"quiet")).unwrap()).unwrap();
    // objdump (binutils) is not everywhere; `object` reads PE as well.
    let bytes = std::fs::read(file.path()).unwrap();
    let pe = object::read::pe::PeFile64::parse(&bytes[..]).unwrap();
    use object::{Object, ObjectSection};
    let seen: Vec<_> = pe.sections().map(|s| (s.name().unwrap().to_string(), s.size(), s.address() % 4096)).collect();
    let want = [(".text", 700), (".osrel", 10), (".cmdline", 5), (".uname", 4), (".initrd", 6), (".linux", 600)];
    assert_eq!(seen, want.map(|(n, s)| (n.to_string(), s, 0)));
}

#[test]
fn nx_flag_follows_the_kernel() {
    let flags = |uki: &[u8]| u16::from_le_bytes([uki[0x98 + 70], uki[0x98 + 71]]);
    let with = |kernel: u16| flags(&build(&stub(0x0140, false), &sections(&stub(kernel, false), b"q")).unwrap());
    assert_eq!(with(0x0100), 0x0140);
    assert_eq!(with(0), 0x0040);
}

#[test]
fn unusable_stubs_and_empty_sections_are_refused() {
    let good = sections(b"kernel", b"quiet");
    assert!(build(b"ELF", &good).is_err());
    assert!(build(&stub(0, true), &good).unwrap_err().to_string().contains("signed"));
    let mut full = stub(0, false);
    full[0x94..0x96].copy_from_slice(&600u16.to_le_bytes()); // section table at the end of the header
    assert!(build(&full, &good).is_err());
    assert!(build(&stub(0, false), &sections(b"kernel", b"")).is_err());
}

#[test]
fn uki_cut_short_or_with_a_doubled_section_is_refused() {
    let uki = build(&stub(0, false), &sections(&[1; 5000], b"quiet")).unwrap();
    assert!(parse(&uki[..uki.len() - 4096]).is_err());
    assert!(parse(&stub(0, false)).is_err());
    let mut doubled = uki.clone();
    let at = doubled.windows(8).position(|w| w == b".cmdline").unwrap();
    doubled[at..at + 8].copy_from_slice(b".osrel\0\0");
    assert!(parse(&doubled).unwrap_err().to_string().contains("two sections"));
}

proptest! {
    #[test]
    fn any_bytes_never_panic(b in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = parse(&b);
    }

    #[test]
    fn damaged_ukis_and_stubs_never_panic(at in 0usize..HEADERS, value in any::<[u8; 4]>(), cut in 0usize..6000) {
        let good = sections(&[1; 1000], b"quiet");
        let mut uki = build(&stub(0, false), &good).unwrap();
        uki[at..at + 4].copy_from_slice(&value);
        let _ = parse(&uki);
        let _ = parse(&uki[..cut.min(uki.len())]);
        let mut damaged = stub(0, false);
        damaged[at..(at + 4).min(HEADERS)].copy_from_slice(&value[..(HEADERS - at).min(4)]);
        if let Ok(built) = build(&damaged, &good) {
            let _ = parse(&built);
        }
    }

    #[test]
    fn sections_of_any_size_round_trip(linux in 1usize..9000, cmdline in 1usize..3000) {
        let (linux, cmdline) = (vec![7; linux], vec![b'x'; cmdline]);
        let want = sections(&linux, &cmdline);
        let uki = build(&stub(0, false), &want).unwrap();
        prop_assert_eq!(parse(&uki).unwrap(), want);
    }
}
