//! Looking for a needle in the memory of another process (proc(5): maps, mem).

use std::fs::File;
use std::os::unix::fs::FileExt;

use memchr::memmem;

use super::needle::Needle;

/// Where `needle` is in the memory of process `id`, and in which form.
pub fn hits(id: u32, needle: &Needle) -> Vec<String> {
    let finders: Vec<_> =
        needle.forms().iter().map(|(form, bytes)| (form, memmem::Finder::new(bytes))).collect();
    let memory = File::open(format!("/proc/{id}/mem")).unwrap();
    let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let mut hits = Vec::new();
    let mut searched = 0;
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (from, to) = fields.next().and_then(|range| range.split_once('-')).unwrap();
        let access = fields.next().unwrap();
        let name = fields.nth(3).unwrap_or("anonymous");
        // The kernel's own pages are not read; files mapped read-only were not written by anybody.
        if !access.starts_with("rw") || name.starts_with("[v") {
            continue;
        }
        let (from, to) =
            (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut at = from;
        let mut block = vec![0; BLOCK_BYTES];
        while at < to {
            let len = usize::try_from(to - at).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
            // A region may go away while a thread ends.
            let Ok(read) = memory.read_at(&mut block[..len], at) else { break };
            if read == 0 {
                break;
            }
            searched += read;
            for (form, finder) in &finders {
                for found in finder.find_iter(&block[..read]) {
                    hits.push(format!("{form} at {:#x} in {name}", at + found as u64));
                }
            }
            // Blocks overlap, so that nothing is missed between two.
            at += if read > OVERLAP_BYTES && at + read as u64 != to {
                (read - OVERLAP_BYTES) as u64
            } else {
                read as u64
            };
        }
    }
    assert!(searched > 1024 * 1024, "no process is this small");
    hits
}

const BLOCK_BYTES: usize = 4 * 1024 * 1024;
const OVERLAP_BYTES: usize = 256;
