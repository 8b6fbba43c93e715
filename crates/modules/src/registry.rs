//! Finding the modules that an operator asked for (spec/mconn.md section 6.1).
//!
//! A name of MCONN_MODULE_START is a folder below MCONN_MODULE_PATH whose `package.json` names the module, or the bare
//! name of a built-in module, with or without such a folder. CoffeeScript in the folder is not run: the built-in module of
//! that name takes its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mconn_module::Module;
use serde_json::Value;

use crate::{HelloWorld, TestModule};

/// Pretended work of the built-in modules; `None` for their defaults.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delays {
    /// MCONN_MODULE_HELLOWORLD_DELAY.
    pub hello_world: Option<Duration>,
    /// MCONN_MODULE_TEST_DELAY.
    pub test: Option<Duration>,
}

/// A module that was found.
#[derive(Clone)]
pub struct Found {
    /// The folder name under which it was asked for.
    pub folder: String,
    /// The module.
    pub module: Arc<dyn Module>,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("folder", &self.folder).field("module", self.module.name()).finish()
    }
}

/// Why a module was not found. The node starts without it.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Neither a folder nor a built-in module.
    #[error(
        "Module \"{name}\" could not be initiated \"no folder {path}, and no built-in module of that name (there are \
         HelloWorld and Test)\""
    )]
    Unknown {
        /// As it was asked for.
        name: String,
        /// Where a folder would have to be.
        path: PathBuf,
    },
    /// A folder without package.json.
    #[error(
        "\"package.json\" is missing in folder \"{name}\" module could not be detected ({path}: {error})"
    )]
    NoPackage {
        /// As it was asked for.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A package.json that names nothing.
    #[error("Module \"{name}\" could not be initiated \"{path}: {reason}\"")]
    BadPackage {
        /// As it was asked for.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A module of the original that we do not have.
    #[error(
        "Module \"{package}\" could not be initiated \"folder {name} holds a CoffeeScript module, which this mconn cannot \
         run; built in are HelloWorld and Test\""
    )]
    Foreign {
        /// As it was asked for.
        name: String,
        /// The name in its package.json.
        package: String,
    },
    /// Two folders with the same module.
    #[error(
        "Module \"{package}\" could not be initiated \"folder {name} names a module that is loaded already\""
    )]
    Twice {
        /// As it was asked for.
        name: String,
        /// The module.
        package: String,
    },
}

/// Finds the modules in the order in which they were asked for. Empty names are passed over.
#[must_use]
pub fn find(names: &[String], path: &Path, delays: Delays) -> (Vec<Found>, Vec<FindError>) {
    let mut found: Vec<Found> = Vec::new();
    let mut errors = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        match find_one(name, path, delays) {
            Ok(module) if found.iter().any(|other| other.module.name() == module.name()) => {
                errors.push(FindError::Twice { name: name.to_owned(), package: module.name().to_string() });
            }
            Ok(module) => found.push(Found { folder: name.to_owned(), module }),
            Err(error) => errors.push(error),
        }
    }
    (found, errors)
}

fn find_one(name: &str, path: &Path, delays: Delays) -> Result<Arc<dyn Module>, FindError> {
    let folder = path.join(name);
    // A name is one folder, never a way out of the module path.
    let is_plain = !name.contains(['/', '\\']) && name != "." && name != "..";
    if !is_plain || !folder.is_dir() {
        let unknown = || FindError::Unknown { name: name.to_owned(), path: folder.clone() };
        return built_in(name, no_options(), delays).ok_or_else(unknown);
    }
    let file = folder.join("package.json");
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        Err(error) => {
            // A folder without package.json beside a built-in name: the name alone is enough.
            let missing = FindError::NoPackage { name: name.to_owned(), path: file, error };
            return built_in(name, no_options(), delays).ok_or(missing);
        }
    };
    let bad = |reason: String| FindError::BadPackage { name: name.to_owned(), path: file.clone(), reason };
    let package: Value = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    let package = package["name"].as_str().ok_or_else(|| bad("it has no \"name\"".to_owned()))?;
    built_in(package, read_options(name, &folder)?, delays)
        .ok_or_else(|| FindError::Foreign { name: name.to_owned(), package: package.to_owned() })
}

/// The folder's `config.json`, which becomes the module's options; an empty object if there is none.
fn read_options(name: &str, folder: &Path) -> Result<Value, FindError> {
    let file = folder.join("config.json");
    let bad = |reason: String| FindError::BadPackage { name: name.to_owned(), path: file.clone(), reason };
    match std::fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| bad(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(no_options()),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn no_options() -> Value {
    Value::Object(serde_json::Map::new())
}

fn built_in(name: &str, options: Value, delays: Delays) -> Option<Arc<dyn Module>> {
    match name {
        HelloWorld::NAME => Some(Arc::new(HelloWorld::new(options, delays.hello_world))),
        TestModule::NAME => Some(Arc::new(TestModule::new(options, delays.test))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(dir: &Path, folder: &str, text: &str) {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
        std::fs::write(dir.join(folder).join("package.json"), text).unwrap();
    }

    fn names(names: &[&str], path: &Path) -> (Vec<String>, Vec<String>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (found, errors) = find(&names, path, Delays::default());
        let found = found.iter().map(|f| format!("{} from {}", f.module.name(), f.folder)).collect();
        (found, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_packages_name_counts_not_the_folders() {
        let dir = tempfile::tempdir().unwrap();
        package(
            dir.path(),
            "mconn-helloworld-master",
            r#"{"name": "HelloWorld", "main": "./bin/module.js"}"#,
        );
        std::fs::write(dir.path().join("mconn-helloworld-master/config.json"), r#"{"greet": true}"#).unwrap();
        let (modules, _) = find(&["mconn-helloworld-master".to_owned()], dir.path(), Delays::default());
        assert_eq!(modules[0].module.options(), serde_json::json!({"greet": true}));
        let (found, errors) = names(&["mconn-helloworld-master", "Test"], dir.path());
        assert_eq!(found, ["HelloWorld from mconn-helloworld-master", "Test from Test"]);
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[test]
    fn built_in_names_need_no_folder() {
        let (found, _) = names(&[" HelloWorld ", ""], Path::new("/nonexistent"));
        assert_eq!(found, ["HelloWorld from HelloWorld"]);
    }

    #[test]
    fn what_can_not_be_loaded_is_said_and_the_rest_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        package(dir.path(), "theirs", r#"{"name": "Theirs"}"#);
        package(dir.path(), "broken", "{");
        package(dir.path(), "nameless", "{}");
        package(dir.path(), "again", r#"{"name": "Test"}"#);
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        let (found, errors) =
            names(&["theirs", "broken", "nameless", "empty", "nope", "../up", "Test", "again"], dir.path());
        assert_eq!(found, ["Test from Test"]);
        let wanted = [
            "CoffeeScript",
            "EOF",
            "no \"name\"",
            "\"package.json\" is missing",
            "nope",
            "../up",
            "loaded already",
        ];
        assert_eq!(errors.len(), wanted.len(), "{errors:#?}");
        for (error, wanted) in errors.iter().zip(wanted) {
            assert!(error.contains(wanted), "{error} has no {wanted}");
        }
    }
}
