//! The reference pages say what the binary knows.

use std::collections::BTreeMap;
use std::path::Path;

use throughline_tests::cli;

#[test]
fn the_reference_pages_are_those_of_the_settings_doc_comments() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let written = cli(folder.path(), &["reference", "pages"]);
    assert!(written.status.success(), "{written:?}");
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let (new, old) = (pages(&folder.path().join("pages")), pages(&committed));
    assert!(new.len() >= 17, "a page for every component");
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&new), names(&old), "docs/reference/ is behind: cargo xtask docs");
    let collector = "coming-from-the-collector.md";
    let read = |folder: &Path| std::fs::read_to_string(folder.join(collector)).expect("the page is there");
    let docs = committed.parent().expect("it is in docs/");
    assert_eq!(read(folder.path()), read(docs), "docs/{collector} is behind: cargo xtask docs");
    for (name, page) in &new {
        assert_eq!(page, &old[name], "docs/reference/{name} is behind: cargo xtask docs");
    }
}

fn pages(folder: &Path) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    for kind in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if kind.path().is_file() {
            let page = std::fs::read_to_string(kind.path()).expect("a page can be read");
            pages.insert(kind.file_name().display().to_string(), page);
        }
        for page in std::fs::read_dir(kind.path()).into_iter().flatten().flatten() {
            let name = format!("{}/{}", kind.file_name().display(), page.file_name().display());
            pages.insert(name, std::fs::read_to_string(page.path()).expect("a page can be read"));
        }
    }
    pages
}
