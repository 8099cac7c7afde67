//! Unified kernel image: the systemd EFI stub with kernel, initrd, command line
//! and os-release appended as PE sections.
//!
//! Source: UAPI group "Unified Kernel Image" specification; Microsoft "PE
//! Format". Small sections that change with every release come first, so that
//! kernel and initrd keep their place in the file.

use super::ImageError;

/// Contents of the sections that Skerry writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UkiSections<'a> {
    /// `.osrel`: os-release text.
    pub osrel: &'a [u8],
    /// `.cmdline`: kernel command line.
    pub cmdline: &'a [u8],
    /// `.uname`: kernel release.
    pub uname: &'a [u8],
    /// `.initrd`.
    pub initrd: &'a [u8],
    /// `.linux`: the kernel's EFI image.
    pub linux: &'a [u8],
}

impl<'a> UkiSections<'a> {
    fn in_order(&self) -> [(&'static str, &'a [u8]); 5] {
        [
            (".osrel", self.osrel),
            (".cmdline", self.cmdline),
            (".uname", self.uname),
            (".initrd", self.initrd),
            (".linux", self.linux),
        ]
    }
}

const COFF_BYTES: usize = 24;
const SECTION_BYTES: usize = 40;
const CODE_READ: u32 = 0x4000_0020;
const DATA_READ: u32 = 0x4000_0040;
const NX_COMPAT: u16 = 0x0100;
/// Most sections that a reader accepts; the stub has about ten.
const SECTIONS_MAX: usize = 96;
const SECURITY_DIRECTORY: usize = 4;

/// Append the sections to the stub.
///
/// # Errors
/// [`ImageError::Pe`] if the stub is no PE file with room for the headers, or
/// is signed.
pub fn build(stub: &[u8], sections: &UkiSections<'_>) -> Result<Vec<u8>, ImageError> {
    let bad = |detail: String| ImageError::Pe { what: "EFI stub", detail };
    let pe = Pe::parse(stub).map_err(bad)?;
    if pe.is_signed(stub).map_err(bad)? {
        return Err(bad("it is signed; take the unsigned stub".into()));
    }
    let file_align = pe.file_align as usize;
    let table_end = pe.table + (pe.sections.len() + 5) * SECTION_BYTES;
    let first_raw = pe.sections.iter().map(|s| s.raw_at).filter(|a| *a > 0).min().unwrap_or(0);
    if table_end > first_raw {
        return Err(bad(format!("its header has no room for 5 more sections ({table_end} > {first_raw})")));
    }
    let mut out = stub.to_vec();
    let mut next_va = pe.image_end();
    let mut initialized = le32(stub, pe.optional + 8).map_err(bad)?;
    for (i, (name, data)) in sections.in_order().into_iter().enumerate() {
        if data.is_empty() || data.len() > (1 << 30) {
            return Err(bad(format!("section {name} has {} bytes", data.len())));
        }
        out.resize(out.len().next_multiple_of(file_align), 0);
        let raw_at = out.len() as u32;
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(file_align), 0);
        let va = next_va.next_multiple_of(pe.section_align);
        let mut header = [0; SECTION_BYTES];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let numbers = [data.len() as u32, va, out.len() as u32 - raw_at, raw_at];
        for (at, n) in numbers.into_iter().enumerate() {
            put32(&mut header, 8 + 4 * at, n);
        }
        put32(&mut header, 36, if name == ".linux" { CODE_READ } else { DATA_READ });
        let at = pe.table + (pe.sections.len() + i) * SECTION_BYTES;
        out[at..at + SECTION_BYTES].copy_from_slice(&header);
        next_va = va + data.len() as u32;
        initialized = initialized.wrapping_add(data.len() as u32);
    }
    let count = (pe.sections.len() + 5) as u16;
    out[pe.coff + 6..pe.coff + 8].copy_from_slice(&count.to_le_bytes());
    put32(&mut out, pe.optional + 8, initialized);
    put32(&mut out, pe.optional + 56, next_va.next_multiple_of(pe.section_align));
    let headers = le32(stub, pe.optional + 60).map_err(bad)?.max(table_end.next_multiple_of(file_align) as u32);
    put32(&mut out, pe.optional + 60, headers);
    put32(&mut out, pe.optional + 64, 0); // checksum: UEFI does not look at it
    clear_nx_unless_kernel_has_it(&mut out, &pe, sections.linux);
    Ok(out)
}

/// Firmware that enforces NX wants outer and inner image to agree.
fn clear_nx_unless_kernel_has_it(out: &mut [u8], stub: &Pe, linux: &[u8]) {
    let Ok(kernel) = Pe::parse(linux) else { return };
    let Ok(flags) = le16(linux, kernel.optional + 70) else { return };
    if flags & NX_COMPAT == 0 {
        let at = stub.optional + 70;
        let own = u16::from_le_bytes([out[at], out[at + 1]]) & !NX_COMPAT;
        out[at..at + 2].copy_from_slice(&own.to_le_bytes());
    }
}

/// Find the sections in a UKI. The bytes are not trusted.
///
/// # Errors
/// [`ImageError::Pe`] if it is no PE file, or a section is missing, doubled or
/// outside the file.
pub fn parse(bytes: &[u8]) -> Result<UkiSections<'_>, ImageError> {
    let bad = |detail: String| ImageError::Pe { what: "UKI", detail };
    let pe = Pe::parse(bytes).map_err(bad)?;
    let get = |name: &str| {
        let mut hits = pe.sections.iter().filter(|s| s.name == name);
        let section = hits.next().ok_or_else(|| bad(format!("it has no section {name}")))?;
        if hits.next().is_some() {
            return Err(bad(format!("it has two sections {name}")));
        }
        let start = section.raw_at;
        let len = section.raw_bytes.min(section.virtual_bytes) as usize;
        let end = start.checked_add(len);
        end.and_then(|end| bytes.get(start..end)).ok_or_else(|| bad(format!("section {name} is outside the file")))
    };
    Ok(UkiSections {
        osrel: get(".osrel")?,
        cmdline: get(".cmdline")?,
        uname: get(".uname")?,
        initrd: get(".initrd")?,
        linux: get(".linux")?,
    })
}

struct Section {
    name: String,
    virtual_bytes: u32,
    virtual_at: u32,
    raw_bytes: u32,
    raw_at: usize,
}

/// Where things are in a PE32+ file.
struct Pe {
    coff: usize,
    optional: usize,
    table: usize,
    section_align: u32,
    file_align: u32,
    sections: Vec<Section>,
}

impl Pe {
    fn parse(b: &[u8]) -> Result<Self, String> {
        if b.get(..2) != Some(b"MZ") {
            return Err("it does not start with MZ".into());
        }
        let coff = le32(b, 0x3c)? as usize;
        if coff.checked_add(4).and_then(|end| b.get(coff..end)) != Some(b"PE\0\0") {
            return Err("it has no PE header".into());
        }
        let optional = coff + COFF_BYTES;
        if le16(b, optional)? != 0x20b {
            return Err("it is not a 64-bit (PE32+) image".into());
        }
        let table = optional + le16(b, coff + 20)? as usize;
        let (section_align, file_align) = (le32(b, optional + 32)?, le32(b, optional + 36)?);
        let sane = |a: u32| a.is_power_of_two() && (16..=1 << 20).contains(&a);
        if !sane(section_align) || !sane(file_align) || table < optional + 112 {
            return Err("its optional header is not sane".into());
        }
        let count = le16(b, coff + 6)? as usize;
        if count == 0 || count > SECTIONS_MAX {
            return Err(format!("it has {count} sections"));
        }
        let sections = (0..count).map(|i| Section::parse(b, table + i * SECTION_BYTES)).collect::<Result<_, _>>()?;
        Ok(Self { coff, optional, table, section_align, file_align, sections })
    }

    fn image_end(&self) -> u32 {
        self.sections.iter().map(|s| s.virtual_at.saturating_add(s.virtual_bytes)).max().unwrap_or(0)
    }

    fn is_signed(&self, b: &[u8]) -> Result<bool, String> {
        let directories = le32(b, self.optional + 108)? as usize;
        let at = self.optional + 112 + SECURITY_DIRECTORY * 8;
        Ok(directories > SECURITY_DIRECTORY && at + 8 <= self.table && le32(b, at)? != 0)
    }
}

impl Section {
    fn parse(b: &[u8], at: usize) -> Result<Self, String> {
        let name = b.get(at..at + 8).ok_or("its section table is cut off")?;
        let name = name.split(|c| *c == 0).next().unwrap_or(name);
        Ok(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            virtual_bytes: le32(b, at + 8)?,
            virtual_at: le32(b, at + 12)?,
            raw_bytes: le32(b, at + 16)?,
            raw_at: le32(b, at + 20)? as usize,
        })
    }
}

fn le16(b: &[u8], at: usize) -> Result<u16, String> {
    let s = b.get(at..at + 2).ok_or_else(|| format!("it ends before offset {at}"))?;
    Ok(u16::from_le_bytes([s[0], s[1]]))
}

fn le32(b: &[u8], at: usize) -> Result<u32, String> {
    let s = b.get(at..at + 4).ok_or_else(|| format!("it ends before offset {at}"))?;
    Ok(u32::from_le_bytes([s[0], s[1], s[2], s[3]]))
}

fn put32(b: &mut [u8], at: usize, n: u32) {
    b[at..at + 4].copy_from_slice(&n.to_le_bytes());
}
