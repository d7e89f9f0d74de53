//! A host in a few lines: what it stores of an object, and how it puts and gets it.

use portcullis::Kms;
use portcullis::context::EncryptionContext;
use portcullis::error::Error;
use portcullis::objects::{
    CustomerKey, Facts, ObjectName, ObjectRecord, PartNumber, PartRecord, PartSources, PartTable,
    Protection, RangePlan, SealedRange, StoredObject, Upload,
};
use tokio::io::AsyncReadExt;

/// What lies in the host's store of one object.
#[derive(Clone)]
pub struct Stored {
    pub record: ObjectRecord,
    pub parts: Option<PartTable>,
    /// Sealed bytes, each with the number of its part; 0 for an object that was put whole.
    pub bodies: Vec<(u16, Vec<u8>)>,
}

impl Stored {
    /// All sealed bytes, one after the other.
    pub fn sealed(&self) -> Vec<u8> {
        self.bodies.iter().flat_map(|(_, body)| body.clone()).collect()
    }
}

pub fn name(object: &str) -> ObjectName {
    ObjectName::new("bucket", object).unwrap()
}

pub fn customer(byte: u8) -> CustomerKey {
    CustomerKey::from_bytes(&[byte; 32]).unwrap()
}

pub fn number(number: u32) -> PartNumber {
    PartNumber::new(number).unwrap()
}

/// Bytes without a pattern that a mistake could fit into.
pub fn plaintext(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

pub fn facts() -> Facts {
    Facts::new().with_etag("\"5d41402abc4b2a76b9719d911017c592\"").unwrap()
}

/// Puts `plain` as a whole.
pub async fn put(
    kms: &Kms,
    name: &ObjectName,
    context: &EncryptionContext,
    protection: Protection<'_>,
    plain: &[u8],
) -> Result<Stored, Error> {
    let mut sealing = kms.seal_object(name, context, protection, plain).await?;
    let mut sealed = Vec::new();
    sealing.read_to_end(&mut sealed).await.unwrap();
    let record = sealing.finish(&facts())?;
    // What is stored is bytes.
    let record = ObjectRecord::from_bytes(record.as_bytes()).unwrap();
    Ok(Stored { record, parts: None, bodies: vec![(0, sealed)] })
}

/// Puts one part.
pub async fn put_part(
    upload: &Upload,
    part: u32,
    key: Option<&CustomerKey>,
    plain: &[u8],
) -> Result<(PartRecord, Vec<u8>), Error> {
    let mut sealing = upload.seal_part(number(part), key, plain).await?;
    let mut sealed = Vec::new();
    sealing.read_to_end(&mut sealed).await.unwrap();
    let facts = Facts::new().with_etag(&format!("part-{part}")).unwrap();
    let record = sealing.finish(&facts)?;
    Ok((PartRecord::from_bytes(record.as_bytes()).unwrap(), sealed))
}

/// Puts an object in `parts`, each with its number.
pub async fn put_parts(
    kms: &Kms,
    name: &ObjectName,
    context: &EncryptionContext,
    protection: Protection<'_>,
    parts: &[(u32, &[u8])],
) -> Stored {
    let key = match protection {
        Protection::SseC { key } => Some(key),
        _ => None,
    };
    let upload = kms.create_upload(name, context, protection, None).await.unwrap();
    let (mut records, mut bodies) = (Vec::new(), Vec::new());
    for (part, plain) in parts {
        let (record, sealed) = put_part(&upload, *part, key, plain).await.unwrap();
        records.push(record);
        bodies.push((*part as u16, sealed));
    }
    let done = upload.complete(&records, &facts()).await.unwrap();
    let parts = PartTable::from_bytes(done.parts.as_bytes()).unwrap();
    let record = ObjectRecord::from_bytes(done.record.as_bytes()).unwrap();
    Stored { record, parts: Some(parts), bodies }
}

pub async fn open(
    kms: &Kms,
    name: &ObjectName,
    context: &EncryptionContext,
    stored: &Stored,
    key: Option<&CustomerKey>,
) -> Result<StoredObject, Error> {
    kms.open_object(name, context, &stored.record, stored.parts.as_ref(), key).await
}

/// What reading gave before it ended, and how it ended.
pub type Read = (Vec<u8>, Result<(), String>);

/// Reads `plan` from its sealed ranges, fetched one by one.
pub async fn fetch(object: &StoredObject, plan: RangePlan, stored: &Stored) -> Read {
    let source = PartSources::new(|range: &SealedRange| {
        let part = range.part.map_or(0, PartNumber::get);
        let body = stored.bodies.iter().find(|(number, _)| *number == part);
        body.map_or(&[][..], |(_, body)| &body[..])
    });
    drain(object.read_from(plan, source).await.unwrap()).await
}

/// Reads all of it from all sealed bytes in their order.
pub async fn whole(object: &StoredObject, sealed: &[u8]) -> Read {
    let plan = object.whole().unwrap();
    drain(object.read(plan, sealed).await.unwrap()).await
}

pub async fn drain(mut reader: impl tokio::io::AsyncRead + Unpin) -> Read {
    let (mut plain, mut piece) = (Vec::new(), vec![0; 1 << 15]);
    loop {
        match reader.read(&mut piece).await {
            Ok(0) => return (plain, Ok(())),
            Ok(len) => plain.extend_from_slice(&piece[..len]),
            Err(error) => {
                let engine = Error::in_stream(&error).map(ToString::to_string);
                return (plain, Err(engine.unwrap_or_else(|| error.to_string())));
            }
        }
    }
}

/// The whole of an object, through both ways of reading it.
pub async fn get(
    kms: &Kms,
    name: &ObjectName,
    context: &EncryptionContext,
    stored: &Stored,
    key: Option<&CustomerKey>,
) -> Result<Vec<u8>, Error> {
    let object = open(kms, name, context, stored, key).await?;
    let (in_order, end) = whole(&object, &stored.sealed()).await;
    end.unwrap();
    let (fetched, end) = fetch(&object, object.whole().unwrap(), stored).await;
    end.unwrap();
    assert!(in_order == fetched);
    Ok(in_order)
}

pub const DOES_NOT_OPEN: &str =
    "the object does not open: it was changed, or the key or the context is another";
