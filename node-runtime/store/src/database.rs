//! The SQLite file: one table of objects, one of settings.
//!
//! WAL, because a commit then costs one write and one sync of the changed
//! pages, and pages that change again and again reach the database file itself
//! only at a checkpoint. Locked exclusively, so that SQLite needs no file of
//! shared memory.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, ErrorCode, MAIN_DB, OptionalExtension, Transaction, TransactionBehavior, params};
use skerry_machinery::{Key, Kind, Stored, by_kind};

/// Newest version of the tables that this program knows.
pub const SCHEMA: u32 = MIGRATIONS.len() as u32;

/// Page size: one block of the file system and of most flash.
const PAGE_SIZE_BYTES: u32 = 4096;
/// Pages of WAL before they are copied to the database: 2 MiB.
const CHECKPOINT_PAGES: u32 = 512;
/// The WAL file is cut back to this after a checkpoint.
const WAL_SIZE_BYTES_MAX: u32 = 4 << 20;
/// Page cache in KiB: objects are in memory already.
const CACHE_KIB: u32 = 128;

/// Step `n` leads from version `n` to `n + 1`; version 0 is an empty file.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE objects (
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        revision INTEGER NOT NULL,
        sum INTEGER NOT NULL,
        json TEXT NOT NULL,
        UNIQUE (kind, namespace, name)
    );
    INSERT INTO meta VALUES ('high_water', 0);
"];

/// Why a database cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite says no.
    #[error("{doing}")]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// SQLite's own check found damage.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A row is not what was written.
    #[error("row {0} is damaged: {1}")]
    Row(String, String),
    /// The file or its file system cannot be written.
    #[error("the file cannot be written: is the file system mounted read-only?")]
    ReadOnly,
    /// Written by a newer program.
    #[error("the database has schema {found}, this program knows up to {SCHEMA}")]
    Newer {
        /// Schema of the file.
        found: i64,
    },
}

impl DatabaseError {
    /// Does the file itself stand in the way, so that a fresh one helps?
    pub(crate) fn is_damage(&self) -> bool {
        use ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, PermissionDenied};
        match self {
            Self::Sqlite { source, .. } => !matches!(
                source.sqlite_error_code(),
                Some(CannotOpen | DatabaseBusy | DatabaseLocked | DiskFull | PermissionDenied)
            ),
            Self::ReadOnly => false,
            _ => true,
        }
    }
}

/// Names what was tried when SQLite says no.
fn doing(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> DatabaseError {
    move |source| DatabaseError::Sqlite { doing, source }
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
}

/// What is read at start.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) objects: Vec<Stored>,
    /// No revision at or above it was ever given out.
    pub(crate) high_water: u64,
    /// Rows of kinds that this program does not know; they stay in the file.
    pub(crate) unknown: usize,
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// New states, `None`: gone.
    pub(crate) rows: Vec<(Key, Option<Arc<Stored>>)>,
    /// New high-water mark of revisions.
    pub(crate) high_water: Option<u64>,
}

impl Database {
    /// Open, check, migrate and read everything.
    pub(crate) fn open(path: &Path) -> Result<(Self, Contents), DatabaseError> {
        check_length(path)?;
        let connection = Connection::open(path).map_err(doing("opening the database"))?;
        configure(&connection).map_err(doing("configuring the database"))?;
        check(&connection)?;
        let mut database = Self { connection };
        database.check_writable(path)?;
        database.migrate(MIGRATIONS)?;
        let contents = database.read()?;
        Ok((database, contents))
    }

    /// One transaction; on the disk when it returns.
    pub(crate) fn write(&mut self, batch: &Batch) -> Result<(), DatabaseError> {
        self.transact(|transaction| write_batch(transaction, batch)).map_err(doing("writing to the database"))
    }

    /// SQLite opens what it cannot write without a word, and notices only at
    /// the first change.
    fn check_writable(&self, path: &Path) -> Result<(), DatabaseError> {
        let read_only = self.connection.is_readonly(MAIN_DB).map_err(doing("asking whether it can be written"))?;
        match read_only {
            false => Ok(()),
            true if is_writable(path) => {
                Err(DatabaseError::Damaged("its header says that it must not be written".into()))
            }
            true => Err(DatabaseError::ReadOnly),
        }
    }

    /// Go up from the file's version by the steps after it.
    fn migrate(&mut self, steps: &[&str]) -> Result<(), DatabaseError> {
        let query = "SELECT user_version FROM pragma_user_version";
        let found: i64 =
            self.connection.query_row(query, [], |row| row.get(0)).map_err(doing("reading the schema's version"))?;
        let done = usize::try_from(found).ok().filter(|f| *f <= steps.len());
        let done = done.ok_or(DatabaseError::Newer { found })?;
        for (version, step) in steps.iter().enumerate().skip(done) {
            let migrated = self.transact(|transaction| {
                transaction.execute_batch(step)?;
                transaction.pragma_update(None, "user_version", version as i64 + 1)
            });
            migrated.map_err(doing("migrating the database"))?;
        }
        Ok(())
    }

    /// Let writes fail for want of space.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        // Answers with the new limit.
        self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).expect("a valid pragma");
    }

    fn transact(&mut self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        work(&transaction)?;
        transaction.commit()
    }

    fn read(&self) -> Result<Contents, DatabaseError> {
        let (objects, unknown) = self.read_objects()?;
        let query = "SELECT value FROM meta WHERE key = 'high_water'";
        let mark: Option<i64> =
            self.connection.query_row(query, [], |row| row.get(0)).optional().map_err(doing("reading the revision"))?;
        let mark = mark.and_then(|m| u64::try_from(m).ok());
        let mark = mark.ok_or_else(|| DatabaseError::Damaged("the high-water mark of revisions is missing".into()))?;
        let newest = objects.iter().map(|o: &Stored| o.revision + 1).max().unwrap_or(0);
        Ok(Contents { objects, high_water: mark.max(newest), unknown })
    }

    fn read_objects(&self) -> Result<(Vec<Stored>, usize), DatabaseError> {
        const WHAT: &str = "reading objects";
        let query = "SELECT kind, namespace, name, revision, sum, json FROM objects";
        let mut statement = self.connection.prepare(query).map_err(doing(WHAT))?;
        let mut rows = statement.query([]).map_err(doing(WHAT))?;
        let (mut objects, mut unknown) = (vec![], 0);
        while let Some(row) = rows.next().map_err(doing(WHAT))? {
            match read_row(row)? {
                Some(object) => objects.push(object),
                None => unknown += 1,
            }
        }
        Ok((objects, unknown))
    }
}

/// `None`: a kind that this program does not know.
fn read_row(row: &rusqlite::Row<'_>) -> Result<Option<Stored>, DatabaseError> {
    let columns = || -> rusqlite::Result<(String, String, String, i64, i64, String)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
    };
    let (kind, namespace, name, revision, sum, json) = columns().map_err(doing("reading a row"))?;
    let damaged = |what: &str| DatabaseError::Row(format!("{kind} {namespace}/{name}"), what.into());
    if checksum(&json) != sum {
        return Err(damaged("its checksum is wrong"));
    }
    let Some(known) = kind_of(&kind) else { return Ok(None) };
    let object = Stored::from_json(json).map_err(|e| damaged(&e.message))?;
    let key = &object.key;
    let same = key.kind == known && key.namespace == namespace && key.name == name;
    if !same || i64::try_from(object.revision) != Ok(revision) {
        return Err(damaged("its key is not its object's"));
    }
    Ok(Some(object))
}

/// Not asked of its permissions: the file system may be mounted read-only.
fn is_writable(path: &Path) -> bool {
    std::fs::OpenOptions::new().write(true).open(path).is_ok()
}

/// SQLite takes less than a page for nothing at all and would begin anew
/// without a word. An empty file is one whose first transaction never came.
fn check_length(path: &Path) -> Result<(), DatabaseError> {
    match std::fs::metadata(path).map(|m| m.len()) {
        Ok(length) if length > 0 && length < u64::from(PAGE_SIZE_BYTES) => {
            Err(DatabaseError::Damaged(format!("it has only {length} bytes")))
        }
        _ => Ok(()),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE_SIZE_BYTES)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // Answers with a row, so it is a query.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // Sync at each commit: what is acknowledged survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_SIZE_BYTES_MAX)?;
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

fn check(connection: &Connection) -> Result<(), DatabaseError> {
    let verdict: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(doing("checking the database"))?;
    if verdict == "ok" { Ok(()) } else { Err(DatabaseError::Damaged(verdict)) }
}

fn write_batch(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO objects (kind, namespace, name, revision, sum, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (kind, namespace, name) DO UPDATE SET
            revision = excluded.revision, sum = excluded.sum, json = excluded.json",
    )?;
    let mut remove =
        transaction.prepare_cached("DELETE FROM objects WHERE kind = ?1 AND namespace = ?2 AND name = ?3")?;
    for (key, object) in &batch.rows {
        let kind = kind_name(key.kind);
        match object {
            Some(o) => {
                let revision = o.revision as i64;
                put.execute(params![kind, key.namespace, key.name, revision, checksum(&o.json), &*o.json])?
            }
            None => remove.execute(params![kind, key.namespace, key.name])?,
        };
    }
    if let Some(mark) = batch.high_water {
        transaction.execute("UPDATE meta SET value = ?1 WHERE key = 'high_water'", params![mark as i64])?;
    }
    Ok(())
}

/// `apps/v1/Deployment`, `v1/Pod`.
fn kind_name(kind: &Kind) -> String {
    format!("{}/{}", kind.api_version(), kind.kind)
}

fn kind_of(name: &str) -> Option<&'static Kind> {
    let (api_version, kind) = name.rsplit_once('/')?;
    by_kind(api_version, kind)
}

/// FNV-1a, 64 bits: against flipped bits, not against people.
fn checksum(text: &str) -> i64 {
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    sum.cast_signed()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn object(name: &str, revision: u64) -> Arc<Stored> {
        let json = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","namespace":"n","resourceVersion":"{revision}"}}}}"#
        );
        Arc::new(Stored::from_json(json).unwrap())
    }

    fn put(name: &str, revision: u64) -> (Key, Option<Arc<Stored>>) {
        let o = object(name, revision);
        (o.key.clone(), Some(o))
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let (mut db, contents) = Database::open(&path).unwrap();
        assert!(contents.objects.is_empty() && contents.high_water == 0);
        db.write(&Batch { rows: vec![put("a", 1), put("b", 2), put("c", 3)], high_water: Some(100) }).unwrap();
        db.write(&Batch { rows: vec![put("a", 4), (object("b", 2).key.clone(), None)], high_water: None }).unwrap();
        drop(db);
        let (_, contents) = Database::open(&path).unwrap();
        let mut names: Vec<_> = contents.objects.iter().map(|o| (o.key.name.as_str(), o.revision)).collect();
        names.sort_unstable();
        assert_eq!(names, [("a", 4), ("c", 3)]);
        assert_eq!((contents.high_water, contents.unknown), (100, 0));
    }

    #[test]
    fn migrates_step_by_step_and_refuses_what_is_newer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        drop(Database::open(&path).unwrap());
        let (mut db, _) = Database::open(&path).unwrap();
        let steps = [MIGRATIONS, &["ALTER TABLE objects ADD COLUMN note TEXT", "UPDATE meta SET value = 7"]].concat();
        db.migrate(&steps).unwrap();
        assert_eq!(db.read().unwrap().high_water, 7);
        db.migrate(&steps).unwrap();
        drop(db);
        let error = Database::open(&path).unwrap_err();
        assert!(matches!(error, DatabaseError::Newer { found: 3 }), "{error}");
    }

    #[test]
    fn a_failed_step_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (mut db, _) = Database::open(&dir.path().join("db")).unwrap();
        let steps = [MIGRATIONS, &["UPDATE meta SET value = 7; SELECT nonsense"]].concat();
        assert!(db.migrate(&steps).is_err());
        assert_eq!(db.read().unwrap().high_water, 0);
    }

    #[test]
    fn a_kind_of_a_newer_program_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let (db, _) = Database::open(&path).unwrap();
        let insert = "INSERT INTO objects VALUES ('v9/Novelty', 'n', 'a', 1, ?1, '{}')";
        db.connection.execute(insert, [checksum("{}")]).unwrap();
        drop(db);
        let (_, contents) = Database::open(&path).unwrap();
        assert_eq!((contents.objects.len(), contents.unknown), (0, 1));
    }

    #[test]
    fn a_changed_row_is_noticed() {
        for change in ["json = replace(json, 'n', 'm')", "name = 'x'", "revision = 9", "sum = 0", "kind = 'v1/Secret'"]
        {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("db");
            let (mut db, _) = Database::open(&path).unwrap();
            db.write(&Batch { rows: vec![put("a", 1)], high_water: None }).unwrap();
            db.connection.execute(&format!("UPDATE objects SET {change}"), []).unwrap();
            drop(db);
            let error = Database::open(&path).unwrap_err();
            assert!(matches!(error, DatabaseError::Row(..)) && error.is_damage(), "{change}: {error}");
        }
    }
}
