//! What a tree needs to know about an ELF file: interpreter, needed libraries,
//! search path, libraries opened at run time. Reads bytes only.

use object::{
    Object as _, ObjectSection as _, elf,
    read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _},
};
use serde::Deserialize;

/// The dynamic side of an ELF file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ElfInfo {
    /// `PT_INTERP`, such as `/lib64/ld-linux-x86-64.so.2`.
    pub interpreter: Option<String>,
    /// `DT_SONAME`.
    pub soname: Option<String>,
    /// `DT_NEEDED`.
    pub needed: Vec<String>,
    /// `DT_RUNPATH` or `DT_RPATH`, split at colons.
    pub runpath: Vec<String>,
    /// Libraries that the program may open at run time.
    pub dlopen: Vec<DlopenNote>,
    /// `e_machine`.
    pub machine: u16,
    /// Relocatable file (kernel module), not for a loader of user space.
    pub relocatable: bool,
}

/// One entry of `.note.dlopen`
/// (UAPI group, "ELF dlopen metadata").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DlopenNote {
    /// Names in order of preference.
    pub soname: Vec<String>,
    /// `required`, `recommended` or `suggested`.
    #[serde(default)]
    pub priority: String,
}

/// Is this an ELF file at all?
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// Read the dynamic side of a 64-bit little-endian ELF file.
///
/// # Errors
/// What is malformed, for people.
pub fn parse(bytes: &[u8]) -> Result<ElfInfo, String> {
    parse_inner(bytes).map_err(|e| e.to_string())
}

fn parse_inner(bytes: &[u8]) -> Result<ElfInfo, object::Error> {
    let header = elf::FileHeader64::<object::LittleEndian>::parse(bytes)?;
    let endian = header.endian()?;
    let mut info = ElfInfo {
        machine: header.e_machine(endian).0,
        relocatable: header.e_type(endian) == elf::ET_REL,
        ..ElfInfo::default()
    };
    if info.relocatable {
        return Ok(info);
    }
    for segment in header.program_headers(endian, bytes)? {
        if let Some(interp) = segment.interpreter(endian, bytes)? {
            info.interpreter = Some(String::from_utf8_lossy(interp).into_owned());
        }
    }
    let sections = header.sections(endian, bytes)?;
    if let Some((dynamic, link)) = sections.dynamic(endian, bytes)? {
        let strings = sections.strings(endian, bytes, link)?;
        for entry in dynamic {
            let text = || entry.string(endian, strings).map(|s| String::from_utf8_lossy(s).into_owned());
            match entry.d_tag(endian) {
                elf::DT_NEEDED => info.needed.push(text()?),
                elf::DT_SONAME => info.soname = Some(text()?),
                elf::DT_RUNPATH | elf::DT_RPATH => info.runpath.extend(text()?.split(':').map(String::from)),
                _ => {}
            }
        }
    }
    info.dlopen = dlopen_notes(bytes)?;
    Ok(info)
}

/// `.note.dlopen` holds notes of owner `FDO`, type 0x407c0c0a, each a JSON array.
fn dlopen_notes(bytes: &[u8]) -> Result<Vec<DlopenNote>, object::Error> {
    const NOTE_TYPE: u32 = 0x407c_0c0a;
    let file = object::File::parse(bytes)?;
    let Some(section) = file.section_by_name(".note.dlopen") else { return Ok(vec![]) };
    let data = section.data()?;
    let mut found = Vec::new();
    let mut rest = data;
    while let Some((head, tail)) = rest.split_at_checked(12) {
        let word = |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        let (name_len, desc_len, kind) = (word(0) as usize, word(4) as usize, word(8));
        let desc_at = name_len.next_multiple_of(4);
        let Some(desc) = tail.get(desc_at..desc_at.saturating_add(desc_len)) else { break };
        if kind == NOTE_TYPE {
            let json = desc.split(|b| *b == 0).next().unwrap_or_default();
            if let Ok(notes) = serde_json::from_slice::<Vec<DlopenNote>>(json) {
                found.extend(notes);
            }
        }
        rest = tail.get(desc_at + desc_len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(found)
}
