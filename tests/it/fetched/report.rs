//! Catches a report that shows what is not in the data, runs what a model wrote, or does not work by mouse
//! and by keyboard: the page is opened in Chromium.
//!
//! Needs the distribution's Chromium, on the path or named by `EVOL_CHROMIUM`; nothing is downloaded. With
//! `EVOL_SCREENSHOTS=FOLDER`, the pages and pictures of them are kept there: wide and narrow, light and
//! dark.

use super::browser::Browser;
use super::report_sample::{HOSTILE, RARE, sample};
use evol::report::{ReportData, render};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A phone.
const PHONE: u32 = 390;

/// A report in a browser.
pub(crate) struct Page {
    browser: Browser,
}

impl Page {
    /// Opens the page at `path`, with `hash` behind its address.
    pub(crate) fn open(path: &Path, hash: &str) -> Self {
        let browser = Browser::start(1280, 900);
        browser.go(&format!("file://{}{hash}", path.canonicalize().unwrap().display()));
        Self { browser }
    }

    /// The value of an expression, as text.
    #[track_caller]
    fn value(&self, expression: &str) -> String {
        let value = self.browser.evaluate(&format!("String({expression})")).unwrap();
        value.as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn number(&self, expression: &str) -> i64 {
        self.value(expression).parse().unwrap()
    }

    /// Waits until an expression is true.
    #[track_caller]
    fn wait(&self, expression: &str) {
        self.browser.wait(expression);
    }

    /// A click with the mouse, where the element is.
    #[track_caller]
    fn click(&self, selector: &str) {
        self.browser.click(selector);
    }

    fn press(&self, key: &str) {
        self.browser.press(key);
    }

    /// Clicks on a field and fills it.
    #[track_caller]
    fn type_into(&self, field: &str, text: &str) {
        self.click(field);
        self.browser.insert(text);
    }

    /// Chooses an option by its value, as a user does.
    #[track_caller]
    fn choose(&self, select: &str, value: &str) {
        let choose = format!(
            "(() => {{ const s = document.querySelector('{select}'); s.value = '{value}'; \
             s.dispatchEvent(new Event('change', {{ bubbles: true }})); return s.value; }})()"
        );
        assert_eq!(self.value(&choose), value);
    }

    /// How many instructions the explorer says that it shows.
    fn found(&self) -> i64 {
        self.number("document.querySelector('#x-count').textContent.replaceAll(',', '').match(/^[0-9]+/)[0]")
    }

    fn screen(&self, width: u32, height: u32, dark: bool) {
        self.browser.screen(width, height, width == PHONE, dark);
    }

    /// Nothing was wrong with the page.
    pub(crate) fn is_well(&self) {
        let complaints = self.browser.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
        assert_eq!(self.value("window.pwned"), "undefined", "a text of the data ran");
        assert_eq!(
            self.number("performance.getEntriesByType('resource').length"),
            0,
            "the page asked for something"
        );
    }

    /// Keeps a picture of what is on the screen, if someone wants it.
    fn view(&self, name: &str) {
        let Some(folder) = std::env::var_os("EVOL_SCREENSHOTS").map(PathBuf::from) else { return };
        std::fs::write(folder.join(format!("{name}.png")), self.browser.picture()).unwrap();
    }

    /// Keeps pictures of the page from its top to its end, if someone wants them.
    fn picture(&self, name: &str, width: u32, dark: bool) {
        if std::env::var_os("EVOL_SCREENSHOTS").is_none() {
            return;
        }
        self.screen(width, 900, dark);
        let height = self.number("document.documentElement.scrollHeight").min(16_000) as u32;
        self.screen(width, height, dark);
        self.value("scrollTo(0, 0)");
        self.view(name);
    }
}

/// A folder with the page of `data`: one that is kept if pictures are.
fn written(name: &str, data: &ReportData) -> (PathBuf, Option<tempfile::TempDir>) {
    let kept = std::env::var_os("EVOL_SCREENSHOTS").map(PathBuf::from);
    let temporary = kept.is_none().then(|| tempfile::tempdir().unwrap());
    let folder = kept.unwrap_or_else(|| temporary.as_ref().unwrap().path().to_owned());
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.html"));
    std::fs::write(&path, render(data)).unwrap();
    (path, temporary)
}

/// All that a page of [`sample`] must do in a browser; also for a page that the program itself wrote.
pub(crate) fn check_page(path: &Path) {
    let page = Page::open(path, "");
    page.wait("document.querySelectorAll('[role=treeitem]').length > 0");
    shows_hostile_texts(&page);
    works_by_mouse(&page);
    works_by_keyboard(&page);
    narrows_the_list(&page);
    narrows_the_examples(&page);
    fits_every_screen(&page);
    page.is_well();
}

fn shows_hostile_texts(page: &Page) {
    let text = serde_json::to_string(HOSTILE).unwrap();
    page.wait(&format!("document.querySelector('[role=treeitem] .words').textContent.includes({text})"));
    page.wait(&format!("document.querySelector('#x-node').textContent.includes({text})"));
    page.wait(&format!("document.querySelector('#g-list').textContent.includes({text})"));
    assert_eq!(page.number("document.querySelectorAll('img, iframe, object, link').length"), 0);
    page.is_well();
}

fn works_by_mouse(page: &Page) {
    // A seed with children: a click opens it and shows it.
    page.click("[role=tree] > [role=treeitem]:nth-child(3) > .line .words");
    let third = "document.querySelector('[role=tree] > [role=treeitem]:nth-child(3)')";
    page.wait(&format!("{third}.getAttribute('aria-selected') === 'true'"));
    page.wait(&format!("{third}.getAttribute('aria-expanded') === 'true'"));
    page.wait("location.hash === '#node-30000'");
    page.wait("document.querySelector('#x-node h3').textContent === 'Seed 30000'");
    page.click("[role=tree] > [role=treeitem]:nth-child(3) [role=group] .line");
    page.wait("document.querySelector('#x-node h3').textContent.startsWith('Instruction 30')");
    for part in ["Instruction", "Constraints on the answer", "Verdicts", "Answer"] {
        page.wait(&format!(
            "[...document.querySelectorAll('#x-node h4')].some((h) => h.textContent === '{part}')"
        ));
    }
    // The way back to the seed, and the twist that closes it.
    page.click("#x-node .trail button");
    page.wait("document.querySelector('#x-node h3').textContent === 'Seed 30000'");
    page.click("[role=tree] > [role=treeitem]:nth-child(3) > .line .twist");
    page.wait(&format!("{third}.getAttribute('aria-expanded') === 'false'"));
    page.click("#x-pager button:last-child");
    page.wait("document.querySelector('#x-pager input').value === '2'");
    page.click("#x-pager button:first-child");
    page.wait("document.querySelector('#x-pager input').value === '1'");
}

fn works_by_keyboard(page: &Page) {
    let focused = |what: &str| format!("document.activeElement.{what}");
    page.value("document.querySelector('#x-form button[type=reset]').focus()");
    page.press("Tab");
    page.wait(&format!("{} === 'treeitem'", focused("getAttribute('role')")));
    page.wait("document.querySelectorAll('[role=treeitem][tabindex=\"0\"]').length === 1");
    page.press("End");
    page.press("Home");
    page.wait(&format!("{} === document.querySelector('[role=treeitem]')", "document.activeElement"));
    page.press("ArrowDown");
    // The first seed is open from the start: its child comes next, then the way out with the left arrow.
    page.press("ArrowLeft");
    page.press("ArrowLeft");
    page.wait(&format!("{} === '1' && {} !== 'true'", focused("ariaLevel"), focused("ariaExpanded")));
    page.press("ArrowRight");
    page.wait(&format!("{} === 'true'", focused("ariaExpanded")));
    page.press("ArrowRight");
    page.wait(&format!("{} === '2'", focused("ariaLevel")));
    let place = page.value(&focused("dataset.place"));
    page.press("Enter");
    page.wait(&format!(
        "{} === 'true' && {} === '{place}'",
        focused("ariaSelected"),
        focused("dataset.place")
    ));
    page.wait("document.querySelector('#x-node h3').textContent.startsWith('Instruction 10')");
    page.wait("location.hash.startsWith('#node-10')");
    page.press("ArrowUp");
    page.wait(&format!("{} === '1'", focused("ariaLevel")));
}

fn narrows_the_list(page: &Page) {
    let all = page.found();
    page.type_into("#x-search", RARE);
    page.wait("document.querySelector('#x-count').textContent.startsWith('1 instruction matches')");
    page.wait("document.querySelectorAll('[role=tree] > [role=treeitem]').length === 1");
    page.click("#x-form button[type=reset]");
    page.wait("!document.querySelector('#x-count').textContent.includes('match')");
    assert_eq!(page.found(), all);
    let mut narrower = all;
    page.choose("#x-fate", "s1");
    for (select, option) in [("#x-operator", "deepening"), ("#x-skill", "history")] {
        page.wait(&format!(
            "parseInt(document.querySelector('#x-count').textContent.replace(',', '')) < {narrower}"
        ));
        narrower = page.found();
        let value = page.value(&format!(
            "[...document.querySelector('{select}').options].find((o) => \
             o.textContent.startsWith('{option}')).value"
        ));
        page.choose(select, &value);
    }
    page.wait(&format!(
        "parseInt(document.querySelector('#x-count').textContent.replace(',', '')) < {narrower}"
    ));
    assert!(page.found() > 0);
    page.wait("document.querySelectorAll('[role=treeitem]:not(.aside) > .line .gone').length > 0");
    page.wait("document.querySelectorAll('[role=treeitem]:not(.aside) > .line .kept').length === 0");
    page.click("#x-form button[type=reset]");
    page.wait("!document.querySelector('#x-count').textContent.includes('match')");
}

fn narrows_the_examples(page: &Page) {
    page.wait("document.querySelector('#g-count').textContent === '60 items'");
    for outcome in ["differ", "only2", "none"] {
        page.choose("#g-outcome", outcome);
        page.wait("/^[0-9]+ of 60 items$/.test(document.querySelector('#g-count').textContent)");
    }
    page.choose("#g-outcome", "only2");
    page.wait("document.querySelectorAll('.example').length > 0");
    let columns = "[...document.querySelectorAll('.example')]";
    page.wait(&format!("{columns}.every((e) => e.querySelectorAll('.side').length === 3)"));
    page.wait(&format!(
        "{columns}.every((e) => e.querySelector('.side:nth-child(3)').classList.contains('right'))"
    ));
    page.click("#g-form button[type=reset]");
    page.wait("document.querySelector('#g-count').textContent === '60 items'");
}

fn fits_every_screen(page: &Page) {
    for (width, dark) in [(1280, false), (1280, true), (PHONE, false), (PHONE, true), (320, false)] {
        page.screen(width, 844, dark);
        page.value("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
        let overflow =
            page.number("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert!(overflow <= 0, "{overflow} pixels too wide at {width}");
        page.value("document.querySelectorAll('details').forEach((d) => { d.open = false; })");
        let scheme = if dark { "dark" } else { "light" };
        page.picture(&format!("{width}-{scheme}"), width, dark);
    }
    let paper = |dark: bool| {
        page.screen(1280, 900, dark);
        page.value("getComputedStyle(document.body).backgroundColor")
    };
    assert_ne!(paper(true), paper(false));
    assert_ne!(page.value("getComputedStyle(document.querySelector('.c0')).color"), "rgb(0, 0, 0)");
}

#[test]
fn the_report_works_in_a_browser() {
    let (path, _folder) = written("report", &sample(220));
    check_page(&path);
}

#[test]
fn an_address_leads_to_a_node() {
    let (path, _folder) = written("address", &sample(220));
    let page = Page::open(&path, "#node-2000000");
    page.wait("document.querySelector('#x-node h3').textContent === 'Seed 2000000'");
    page.wait("document.querySelector('#x-pager input').value === '10'");
    page.screen(1280, 1000, false);
    page.value("location.hash = '#node-30202'");
    page.wait("document.querySelector('#x-node h3').textContent === 'Instruction 30202'");
    page.wait("document.querySelector('[aria-selected=true]').ariaLevel === '2'");
    // What the instruction has more than its parent.
    page.wait("document.querySelector('#x-node mark').textContent.trim() === 'Do not use any commas.'");
    page.view("node");
    page.is_well();
}

#[test]
fn a_page_without_data_is_well() {
    let (path, _folder) = written("empty", &ReportData::default());
    let page = Page::open(&path, "");
    page.wait("document.querySelectorAll('.missing').length > 8");
    page.picture("empty", 1280, false);
    page.is_well();
}

#[test]
fn ten_thousand_rows_are_quick() {
    let (path, _folder) = written("large", &sample(2100));
    let page = Page::open(&path, "");
    assert!(page.found() > 10_000, "{}", page.found());
    let start = Instant::now();
    page.type_into("#x-search", RARE);
    page.wait("document.querySelector('#x-count').textContent.startsWith('1 instruction matches')");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    page.wait("document.querySelectorAll('[role=treeitem]').length < 200");
    page.is_well();
}
