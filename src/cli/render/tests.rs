//! Every form, and texts that would like to break one.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[derive(Serialize)]
struct Row {
    id: String,
    name: String,
    size: u64,
    hidden: &'static str,
}

const COLUMNS: &[Column<Row>] = &[
    Column::new("id", "ID", |row: &Row| Cell::Text(row.id.clone())).id(),
    Column::new("name", "NAME", |row: &Row| Cell::Text(row.name.clone())).flexible(),
    Column::new("status", "STATUS", |_: &Row| Cell::Word("failed".into())),
    Column::new("size_bytes", "SIZE", |row: &Row| Cell::Bytes(row.size)).right(),
    Column::new("took_ms", "TOOK", |_: &Row| Cell::Millis(1500.5)).right().wide(),
    Column::new("at", "AT", |_: &Row| Cell::Time("1970-01-01T00:00:01Z".into())).asked(),
];

fn row(id: &str, name: &str) -> Row {
    Row { id: id.into(), name: name.into(), size: 2048, hidden: "h" }
}

fn looks(form: OutputForm) -> Looks {
    Looks { form, now_ms: 61_000, ..Looks::default() }
}

fn with_fields(form: OutputForm, fields: &str) -> Looks {
    Looks { fields: fields.split(',').map(str::to_owned).collect(), ..looks(form) }
}

fn shown(names: &[&str], looks: &Looks) -> String {
    let made: Vec<_> = names.iter().map(|name| row(&format!("id-{name}"), name)).collect();
    rows(&made, COLUMNS, true, looks).unwrap()
}

#[test]
fn each_form_has_its_columns() {
    let table = shown(&["a"], &looks(OutputForm::Table));
    assert_eq!(table, "ID    NAME  STATUS    SIZE\nid-a  a     failed  2.0KiB\n");
    let wide = shown(&["a"], &looks(OutputForm::Wide));
    assert!(wide.ends_with("2.0KiB  1.50s\n") && wide.contains("SIZE   TOOK\n"), "{wide}");
    let csv = shown(&["a"], &looks(OutputForm::Csv));
    assert_eq!(csv, "id,name,status,size_bytes,took_ms\r\nid-a,a,failed,2048,1500.5\r\n");
    assert_eq!(shown(&["a", "b"], &looks(OutputForm::Name)), "id-a\nid-b\n");
    let whole = json!({"id": "id-a", "name": "a", "size": 2048, "hidden": "h"});
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&shown(&["a"], &looks(OutputForm::Json))), json!([whole]));
    assert_eq!(value(&shown(&["a"], &looks(OutputForm::Jsonl))), whole);
    assert_eq!(value(&rows(&[row("id-a", "a")], COLUMNS, false, &looks(OutputForm::Json)).unwrap()), whole);
}

#[test]
fn columns_are_chosen_ordered_and_refused_by_name() {
    let chosen = with_fields(OutputForm::Table, "at,id");
    assert_eq!(shown(&["a"], &chosen), "AT     ID\n1m00s  id-a\n");
    assert_eq!(shown(&["a"], &Looks { utc: true, ..chosen.continued() }), "1970-01-01T00:00:01Z  id-a\n");
    let json = shown(&["a"], &with_fields(OutputForm::Json, "size_bytes,at,id"));
    assert_eq!(json, "[{\"size_bytes\":2048,\"at\":\"1970-01-01T00:00:01Z\",\"id\":\"id-a\"}]\n");
    for (fields, why) in
        [("nope", "`nope`: known are id,name,status,size_bytes,took_ms,at"), ("id,id", "twice")]
    {
        let failure = rows(&[row("", "")], COLUMNS, true, &with_fields(OutputForm::Csv, fields)).unwrap_err();
        assert!(failure.code == USAGE && failure.message.contains(why), "{failure:?}");
    }
}

#[test]
fn nothing_is_still_a_whole_answer_in_each_form() {
    for (form, text) in [
        (OutputForm::Table, "ID  NAME  STATUS  SIZE\n"),
        (OutputForm::Csv, "id,name,status,size_bytes,took_ms\r\n"),
        (OutputForm::Json, "[]\n"),
        (OutputForm::Jsonl, ""),
        (OutputForm::Name, ""),
    ] {
        assert_eq!(shown(&[], &looks(form)), text);
    }
    assert_eq!(shown(&[], &looks(OutputForm::Table).continued()), "");
}

#[test]
fn a_table_fits_its_terminal_and_a_pipe_has_everything() {
    let name = "n".repeat(300);
    assert!(shown(&[&name], &looks(OutputForm::Table)).contains(&name));
    for colours in [false, true] {
        for width in [1, 10, 30, 80, 200] {
            let narrow = Looks { width: Some(width), colours, ..looks(OutputForm::Table) };
            let text = shown(&[&name, "\u{4e16}\u{754c}"], &narrow);
            let visible = text.replace("\x1b[31m", "").replace("\x1b[39m", "").replace("\x1b[0m", "");
            for line in visible.lines() {
                assert!(unicode_width::UnicodeWidthStr::width(line) <= width, "{width}: {line:?}");
            }
            assert_eq!(text.matches("\x1b[31m").count() * usize::from(colours), if colours { 2 } else { 0 });
        }
    }
}

#[test]
fn a_narrow_terminal_shows_of_ids_what_tells_them_apart() {
    let ids = ["0192f3c1-aaaa-7bbb-8000-000000000001", "0192f3c1-aaaa-7bbb-8100-000000000002"];
    let made: Vec<_> = ids.iter().map(|id| row(id, "a")).collect();
    let narrow = Looks { width: Some(50), ..looks(OutputForm::Table) };
    let text = rows(&made, COLUMNS, true, &narrow).unwrap();
    assert!(text.contains("0192f3c1-aaaa-7bbb-80 ") && text.contains("0192f3c1-aaaa-7bbb-81 "), "{text}");
    let wide = rows(&made, COLUMNS, true, &Looks { form: OutputForm::Wide, ..narrow }).unwrap();
    assert!(wide.contains(ids[0]), "{wide}");
}

#[test]
fn titles_and_cells_stand_below_each_other_with_and_without_colour() {
    for colours in [false, true] {
        let text = shown(&["a", "bbbb"], &Looks { colours, ..looks(OutputForm::Table) });
        let plain = text.replace("\x1b[31m", "").replace("\x1b[39m", "").replace("\x1b[0m", "");
        assert_eq!(plain, shown(&["a", "bbbb"], &looks(OutputForm::Table)));
    }
}

proptest! {
    #[test]
    fn csv_gives_back_what_was_put_in(names in prop::collection::vec("(=|@|'|\\+|-|\t|\r)?(\\PC|\"|,|\n|\r|\t|\u{0}){0,12}", 0..5)) {
        let made: Vec<_> = names.iter().map(|name| row("-1", name)).collect();
        let text = rows(&made, COLUMNS, true, &looks(OutputForm::Csv)).unwrap();
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let read: Vec<_> = reader.records().map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), names.len());
        for (record, name) in read.iter().zip(&names) {
            let guarded = record[1].strip_prefix('\'');
            prop_assert!(!record[1].starts_with(['=', '+', '-', '@', '\t', '\r']));
            prop_assert_eq!(guarded.unwrap_or(&record[1]), name);
            prop_assert_eq!((&record[0], &record[3]), ("'-1", "2048"));
        }
    }

    #[test]
    fn no_text_steers_a_terminal_in_any_form(name in any::<String>(), trick in "[\u{0}-\u{9f}\u{202a}-\u{202e}\u{e000}-\u{e00f}]{0,8}") {
        let name = format!("{name}{trick}");
        for form in [OutputForm::Table, OutputForm::Wide, OutputForm::Json, OutputForm::Jsonl, OutputForm::Name, OutputForm::Csv] {
            let text = shown(&[&name], &Looks { terminal: true, ..looks(form) });
            prop_assert!(!text.replace("\r\n", "").replace('\n', "").contains(super::super::style::steers), "{:?}", text);
            if matches!(form, OutputForm::Json | OutputForm::Jsonl) {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(value.pointer("/0/name").or(value.get("name")).unwrap(), &json!(name));
            }
        }
    }
}
