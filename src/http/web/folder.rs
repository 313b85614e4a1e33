use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// A page of ours has some dozens.
const MOST_FILES: usize = 2_000;
/// They stay in memory for as long as the server runs; a page of ours has 2 MiB.
const MOST_BYTES: u64 = 64 << 20;
/// A build is a folder with one below it.
const MOST_DEPTH: usize = 16;
/// What a build that is a page begins with.
const INDEX: &str = "/index.html";

/// Why the files of a build are not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is no such folder.
    #[error("there is no folder {}", folder.display())]
    Absent {
        /// The folder.
        folder: PathBuf,
    },
    /// It is no page.
    #[error("{} has no index.html", folder.display())]
    NoIndex {
        /// The folder.
        folder: PathBuf,
    },
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// What could not.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It leads out of the folder.
    #[error("{} leads out of its folder", path.display())]
    Outside {
        /// The link.
        path: PathBuf,
    },
    /// It is something else than a file or a folder of files.
    #[error("{} is neither a file nor a folder", path.display())]
    Special {
        /// What it is called.
        path: PathBuf,
    },
    /// Its name cannot stand in a URL.
    #[error("the name of {} is not UTF-8", path.display())]
    Name {
        /// What it is called.
        path: PathBuf,
    },
    /// It is larger than a page.
    #[error("{} has more than {MOST_FILES} files, {MOST_BYTES} bytes or {MOST_DEPTH} levels", folder.display())]
    TooLarge {
        /// The folder.
        folder: PathBuf,
    },
}

/// All files below `folder`, each with its path from there, as in `/assets/index-BX2f9aQ1.js`. Those whose names begin with
/// a dot are left out.
pub(super) fn read(folder: &Path) -> Result<Vec<(String, Bytes)>, Error> {
    let root = match folder.canonicalize() {
        Ok(root) => root,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Absent { folder: folder.to_owned() });
        }
        Err(source) => return Err(Error::Read { path: folder.to_owned(), source }),
    };
    let mut reading = Reading { root: &root, files: Vec::new(), left: MOST_BYTES };
    reading.enter(&root, "", 1)?;
    if reading.files.iter().any(|(path, _)| path == INDEX) {
        Ok(reading.files)
    } else {
        Err(Error::NoIndex { folder: folder.to_owned() })
    }
}

struct Reading<'a> {
    root: &'a Path,
    files: Vec<(String, Bytes)>,
    /// How many bytes there may still be.
    left: u64,
}

impl Reading<'_> {
    /// Reads what is in a folder, which is `prefix` below the root.
    fn enter(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), Error> {
        let failed = |source| Error::Read { path: folder.to_owned(), source };
        if depth > MOST_DEPTH {
            return Err(self.too_large());
        }
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name else { return Err(Error::Name { path }) };
            if name.starts_with('.') {
                continue;
            }
            self.take(&path, &format!("{prefix}/{name}"), depth)?;
        }
        Ok(())
    }

    fn take(&mut self, path: &Path, name: &str, depth: usize) -> Result<(), Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        // A link may lead to another file here, and nowhere else; to a folder it could lead for ever.
        let found = path.symlink_metadata().map_err(failed)?;
        let real = path.canonicalize().map_err(failed)?;
        if !real.starts_with(self.root) {
            return Err(Error::Outside { path: path.to_owned() });
        }
        if found.is_dir() {
            return self.enter(path, name, depth + 1);
        }
        if !real.metadata().map_err(failed)?.is_file() {
            return Err(Error::Special { path: path.to_owned() });
        }
        if self.files.len() == MOST_FILES {
            return Err(self.too_large());
        }
        let mut bytes = Vec::new();
        let file = File::open(&real).map_err(failed)?;
        file.take(self.left + 1).read_to_end(&mut bytes).map_err(failed)?;
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| self.too_large())?;
        self.files.push((name.to_owned(), bytes.into()));
        Ok(())
    }

    fn too_large(&self) -> Error {
        Error::TooLarge { folder: self.root.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder that goes with its test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("tidegate-page-{:016x}", fastrand::u64(..)));
            fs::create_dir_all(path.join("dist/assets")).expect("a new folder");
            Self(path)
        }

        fn dist(&self) -> PathBuf {
            self.0.join("dist")
        }

        fn write(&self, path: &str, text: &str) {
            fs::write(self.0.join(path), text).expect("the folder is ours");
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // What is left is in the system's temporary folder.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_are_named_from_the_folder_and_hidden_ones_left_out() {
        let scratch = Scratch::new();
        assert!(matches!(read(&scratch.0.join("nowhere")), Err(Error::Absent { .. })));
        assert!(matches!(read(&scratch.dist()), Err(Error::NoIndex { .. })));
        scratch.write("dist/index.html", "page");
        scratch.write("dist/.secret", "hidden");
        scratch.write("dist/assets/a-12345678.js", "script");
        symlink("index.html", scratch.dist().join("same.html")).expect("a new link");
        let mut files = read(&scratch.dist()).expect("a build");
        files.sort();
        let files: Vec<_> = files.iter().map(|(path, bytes)| (&**path, &bytes[..])).collect();
        let page = &b"page"[..];
        assert_eq!(
            files,
            [("/assets/a-12345678.js", &b"script"[..]), ("/index.html", page), ("/same.html", page)]
        );
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for (target, link) in [("../outside", "x.html"), ("..", "up"), ("/etc", "etc")] {
            let scratch = Scratch::new();
            scratch.write("dist/index.html", "page");
            scratch.write("outside", "not ours to show");
            symlink(target, scratch.dist().join(link)).expect("a new link");
            assert!(matches!(read(&scratch.dist()), Err(Error::Outside { .. })), "{target}");
        }
        let scratch = Scratch::new();
        scratch.write("dist/index.html", "page");
        symlink(".", scratch.dist().join("again")).expect("a new link");
        assert!(matches!(read(&scratch.dist()), Err(Error::Special { .. })), "a circle");
    }

    #[test]
    fn a_folder_that_is_no_page_is_not_held_in_memory() {
        let scratch = Scratch::new();
        scratch.write("dist/index.html", "page");
        let large = File::create(scratch.dist().join("large")).expect("the folder is ours");
        large.set_len(MOST_BYTES).expect("a sparse file");
        assert!(matches!(read(&scratch.dist()), Err(Error::TooLarge { .. })));
        fs::remove_file(scratch.dist().join("large")).expect("ours");
        for number in 0..MOST_FILES {
            scratch.write(&format!("dist/assets/{number}"), "");
        }
        assert!(matches!(read(&scratch.dist()), Err(Error::TooLarge { .. })));
    }
}
