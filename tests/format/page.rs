//! The example on the page: its files and its values.

use portcullis::context::EncryptionContext;

/// Section 9 of `src/manual/format.rs`.
pub struct Example {
    /// Files by their names in the example.
    pub files: Vec<(String, Vec<u8>)>,
    /// Values by their names, in the order in which they are computed.
    pub values: Vec<(String, Vec<u8>)>,
    pub context: EncryptionContext,
    pub plain: Vec<u8>,
}

pub fn example() -> Example {
    let section = PAGE.split("//! # 9. An example").nth(1).expect("the page has a section 9");
    let blocks: Vec<Vec<&str>> = section
        .split("```")
        .skip(1)
        .step_by(2)
        .map(|block| {
            block
                .lines()
                .skip(1)
                .filter_map(|line| line.strip_prefix("//! "))
                .filter(|line| !line.is_empty())
                .collect()
        })
        .collect();
    let [files, shown] = &blocks[..] else { panic!("section 9 has {} blocks", blocks.len()) };
    Example {
        files: values(files.iter().copied()),
        values: values(shown.iter().copied()),
        context: EncryptionContext::new().with("tenant", "a").unwrap(),
        plain: b"hello\n".to_vec(),
    }
}

/// The lines `name = hex` and the indented ones that go on with them. A name may stand alone.
pub fn values<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, Vec<u8>)> {
    let mut values: Vec<(String, Vec<u8>)> = Vec::new();
    for line in lines {
        let digits = if let Some(more) = line.strip_prefix("  ") {
            more
        } else {
            let (name, first) = line.split_once(" =").unwrap_or((line, ""));
            values.push((name.to_owned(), Vec::new()));
            first.trim_start()
        };
        let bytes = hex::decode(digits).expect("hexadecimal");
        values.last_mut().expect("a name comes first").1.extend(bytes);
    }
    values
}

const PAGE: &str = include_str!("../../src/manual/format.rs");
