//! What readers may ask for: filters of apps, and what to embed.

use super::definition::AppDef;

/// `cmd=`, `id=` and `label=` of `GET /v2/apps`.
#[derive(Debug, Clone, Default)]
pub struct AppFilter {
    cmd: Option<String>,
    id: Option<String>,
    labels: Vec<LabelTest>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum LabelTest {
    Present(String),
    Is(String, String),
    IsNot(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl AppFilter {
    /// Reads the parameters.
    ///
    /// # Errors
    /// The message for an answer of 422 when the label selector cannot be read.
    pub fn new(cmd: Option<&str>, id: Option<&str>, label: Option<&str>) -> Result<AppFilter, String> {
        let lower = |text: &str| text.to_lowercase();
        let labels = match label {
            Some(text) => selector(text).ok_or_else(|| format!("Can not parse label selector {text}"))?,
            None => Vec::new(),
        };
        Ok(AppFilter { cmd: cmd.map(lower), id: id.map(lower), labels })
    }

    /// Whether the app passes all of it.
    #[must_use]
    pub fn admits(&self, app: &AppDef) -> bool {
        let contains = |wanted: &Option<String>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| text.to_lowercase().contains(wanted))
        };
        let cmd_fits = match &app.cmd {
            Some(cmd) => contains(&self.cmd, cmd),
            None => self.cmd.is_none(),
        };
        cmd_fits && contains(&self.id, app.id.as_str()) && self.labels.iter().all(|test| test.admits(app))
    }
}

impl LabelTest {
    fn admits(&self, app: &AppDef) -> bool {
        let value = |key: &String| app.labels.get(key);
        match self {
            LabelTest::Present(key) => value(key).is_some(),
            LabelTest::Is(key, wanted) => value(key) == Some(wanted),
            LabelTest::IsNot(key, wanted) => value(key).is_some_and(|value| value != wanted),
            LabelTest::In(key, wanted) => value(key).is_some_and(|value| wanted.contains(value)),
            LabelTest::NotIn(key, wanted) => value(key).is_some_and(|value| !wanted.contains(value)),
        }
    }
}

/// A selector being read.
struct Reader<'a> {
    rest: &'a str,
}

fn selector(text: &str) -> Option<Vec<LabelTest>> {
    let mut reader = Reader { rest: text.trim_start() };
    let mut tests = vec![reader.test()?];
    while reader.eat(",") {
        tests.push(reader.test()?);
    }
    reader.rest.is_empty().then_some(tests)
}

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    /// Literal characters, and any other after a backslash.
    fn word(&mut self) -> Option<String> {
        let mut word = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, char)) = chars.next() {
            match char {
                '\\' => word.push(chars.next()?.1),
                '-' | '_' | '.' => word.push(char),
                _ if char.is_ascii_alphanumeric() => word.push(char),
                _ => {
                    end = at;
                    break;
                }
            }
        }
        self.rest = self.rest[end..].trim_start();
        (!word.is_empty()).then_some(word)
    }

    fn set(&mut self) -> Option<Vec<String>> {
        if !self.eat("(") {
            return None;
        }
        let mut words = vec![self.word()?];
        while self.eat(",") {
            words.push(self.word()?);
        }
        self.eat(")").then_some(words)
    }

    fn test(&mut self) -> Option<LabelTest> {
        let key = self.word()?;
        if self.eat("==") {
            return Some(LabelTest::Is(key, self.word()?));
        }
        if self.eat("!=") {
            return Some(LabelTest::IsNot(key, self.word()?));
        }
        if self.eat("notin") {
            return Some(LabelTest::NotIn(key, self.set()?));
        }
        if self.eat("in") {
            return Some(LabelTest::In(key, self.set()?));
        }
        Some(LabelTest::Present(key))
    }
}

/// `embed=`: what is written along with apps and groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, clippy::struct_excessive_bools, reason = "one switch for each of Marathon's names")]
pub struct Embeds {
    pub tasks: bool,
    pub counts: bool,
    pub deployments: bool,
    pub readiness: bool,
    pub last_task_failure: bool,
    pub task_stats: bool,
    pub group_groups: bool,
    pub group_apps: bool,
    pub group_pods: bool,
}

impl Embeds {
    /// Of `GET /v2/apps`, which always has counts and deployments.
    pub fn of_apps<'a>(names: impl IntoIterator<Item = &'a str>) -> Embeds {
        let mut embeds = Embeds { counts: true, deployments: true, ..Embeds::default() };
        embeds.add(names);
        embeds
    }

    /// Of `GET /v2/apps/{id}`, which always has nearly everything.
    pub fn of_app<'a>(names: impl IntoIterator<Item = &'a str>) -> Embeds {
        let mut embeds = Embeds::of_apps(names);
        embeds.tasks = true;
        embeds.last_task_failure = true;
        embeds
    }

    /// Of `GET /v2/groups`: groups, apps and pods when nothing is asked for.
    pub fn of_group<'a>(names: impl IntoIterator<Item = &'a str>) -> Embeds {
        let names: Vec<&str> = names.into_iter().collect();
        let mut embeds = Embeds::default();
        for name in &names {
            match *name {
                "group.groups" => embeds.group_groups = true,
                "group.apps" => embeds.group_apps = true,
                "group.pods" => embeds.group_pods = true,
                _ => {}
            }
        }
        if names.is_empty() {
            (embeds.group_groups, embeds.group_apps, embeds.group_pods) = (true, true, true);
        }
        embeds.add(names);
        embeds
    }

    fn add<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            let prefixes = ["group.apps.", "apps.", "app."];
            let bare = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
            match bare {
                "tasks" => (self.tasks, self.deployments) = (true, true),
                "counts" => self.counts = true,
                "deployments" => self.deployments = true,
                "readiness" => self.readiness = true,
                "lastTaskFailure" => self.last_task_failure = true,
                "taskStats" => self.task_stats = true,
                "failures" => (self.tasks, self.deployments, self.last_task_failure) = (true, true, true),
                // Unknown names are ignored, as by the real one.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        use LabelTest::{In, Is, IsNot, NotIn, Present};
        let text = |text: &str| text.to_owned();
        assert_eq!(selector("a"), Some(vec![Present(text("a"))]));
        assert_eq!(selector("a==b, c!=d"), Some(vec![Is(text("a"), text("b")), IsNot(text("c"), text("d"))]));
        assert_eq!(selector("k in (a, b)"), Some(vec![In(text("k"), vec![text("a"), text("b")])]));
        assert_eq!(selector("k notin (a)"), Some(vec![NotIn(text("k"), vec![text("a")])]));
        assert_eq!(selector(r"v==\/x\ y"), Some(vec![Is(text("v"), text("/x y"))]));
        for bad in ["", "a==", "a in b", "a,", "==b", "a b c", "\\"] {
            assert_eq!(selector(bad), None, "{bad}");
        }
    }

    #[test]
    fn embeds_take_any_prefix() {
        assert!(Embeds::of_apps(["apps.tasks"]).tasks);
        assert!(Embeds::of_apps(["failures"]).last_task_failure);
        assert!(!Embeds::of_apps(["apps.count"]).tasks);
        assert!(Embeds::of_group([]).group_pods);
        assert!(!Embeds::of_group(["group.apps.tasks"]).group_apps);
    }
}
