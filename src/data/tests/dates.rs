//! Columns of dates: recognised, reported, and made numbers.

use super::{features, message, targets};
use crate::data::{Csv, Impute, Kind, Preprocessing, Table, TableColumn};

/// A column of these cells beside a target that does not matter.
fn table(cells: &[&str]) -> Result<Table, crate::error::DataError> {
    let rows: String = cells.iter().enumerate().map(|(i, x)| format!("{x},{i}.5\n")).collect();
    Csv::new(format!("d,y\n{rows}").as_bytes()).missing_words(&["?"]).read()
}

fn kind(cells: &[&str]) -> Kind {
    table(cells).unwrap().column("d").unwrap().kind()
}

#[test]
fn columns_of_dates_are_recognised() {
    assert_eq!(kind(&["2024-03-01", "?", "1999-12-31T23:59"]), Kind::Date);
    assert_eq!(kind(&["2024/3/1", "1999/12/31"]), Kind::Date);
    // Only a day above 12 tells that the day comes first.
    assert_eq!(kind(&["1.3.2024", "31.12.1999"]), Kind::Date);
    assert_eq!(kind(&["1.3.2024", "11.12.1999"]), Kind::Category);
    assert_eq!(kind(&["1.3.2024", "12.31.1999"]), Kind::Category);
    // Half of them are none, or one is a number.
    assert_eq!(kind(&["2024-03-01", "soon"]), Kind::Category);
    assert_eq!(kind(&["2024-03-01", "2024"]), Kind::Category);
    assert_eq!(kind(&["?", "?"]), Kind::Number);
    let odd = |cells: &[&str]| message(table(cells));
    let text = odd(&["2024-03-01", "2024-03-02", "2024-02-30"]);
    assert!(text.contains("line 4, column `d`: `2024-02-30` is not a date"), "{text}");
    let text = odd(&["2024-03-01", "2024-03-02", "2024/03/03"]);
    assert!(text.contains("`2024/03/03` is not a date, or not written as the first one"), "{text}");
}

#[test]
fn what_was_said_of_a_column_counts() {
    let read = |cells: &str, csv: fn(Csv) -> Csv| csv(Csv::new(cells.as_bytes())).read();
    let first = |table: Table| (table.columns()[0].kind(), table.columns()[0].number(0));
    let dots = read("d\n1.3.2024\n", |csv| csv.dates(&["d"])).unwrap();
    assert_eq!(first(dots), (Kind::Date, Some(19_783.0)));
    let words = read("d\n2024-03-01\n", |csv| csv.categories(&["d"])).unwrap();
    assert_eq!(first(words), (Kind::Category, None));
    let text = message(read("d\n2024-03-01\n7\n", |csv| csv.dates(&["d"])));
    assert!(text.contains("line 3, column `d`: `7` is not a date"), "{text}");
    let text = message(read("d\n2024-03-01\n", |csv| csv.numbers(&["d"])));
    assert!(text.contains("`2024-03-01` is not a number"), "{text}");
}

#[test]
fn dates_become_numbers() {
    let cells = ["2024-02-29", "?", "2023-12-31", "1970-01-01"];
    let recipe = table(&cells).unwrap().target("y").unwrap();
    let text = message(recipe.build());
    assert!(text.contains("line 3, column `d`: the cell is missing, as 1 of 4 are"), "{text}");
    let data = recipe.clone().drop_missing().build().unwrap();
    let names = ["d.days", "d.year", "d.month", "d.day", "d.weekday"];
    assert_eq!(data.preprocessing().unwrap().feature_names(), names);
    let rows: Vec<f32> = features(&data);
    assert_eq!(rows[..5], [19_782.0, 2024.0, 2.0, 29.0, 3.0]);
    assert_eq!(rows[5..10], [19_722.0, 2023.0, 12.0, 31.0, 6.0]);
    assert_eq!(rows[10..], [0.0, 1970.0, 1.0, 1.0, 3.0]);
    // A missing date is as many missing numbers.
    let filled = features(&recipe.clone().impute(Impute::Median).build().unwrap());
    assert_eq!(filled[5..10], [19_722.0, 2023.0, 2.0, 29.0, 3.0]);
    let scaled = features(&recipe.drop_missing().min_max().build().unwrap());
    assert!(scaled.iter().all(|x| (0.0..=1.0).contains(x)));
}

#[test]
fn hours_and_cycles_come_where_there_are_some() {
    let cells = ["2024-04-01T06:59", "2024-07-31T18:00"];
    let recipe = table(&cells).unwrap().target("y").unwrap().cyclic_dates();
    let data = recipe.build().unwrap();
    let names = data.preprocessing().unwrap().feature_names();
    assert_eq!(
        (names.len(), names[2].as_str(), names[3].as_str()),
        (14, "d.month", "d.month sine")
    );
    assert_eq!(names[11..], ["d.hour", "d.hour sine", "d.hour cosine"]);
    let rows = features(&data);
    // April and July are a quarter and a half through the year, 6 and 18 o'clock of the day.
    let near = |x: f32, y: f32| (x - y).abs() <= f32::EPSILON;
    assert!(near(rows[3], 1.0) && near(rows[4], 0.0), "{rows:?}");
    assert!(near(rows[14 + 3], 0.0) && near(rows[14 + 4], -1.0), "{rows:?}");
    assert_eq!((rows[11], rows[12]), (6.0, 1.0));
    assert_eq!((rows[14 + 11], rows[14 + 12]), (18.0, -1.0));
    assert_eq!(rows[0], (19_814.0 + 419.0 / 1440.0) as f32);
}

#[test]
fn a_fitted_column_of_dates_reads_short_files() {
    let recipe = table(&["13.3.2024", "2.4.2024", "1.1.2020"]).unwrap().target("y").unwrap();
    let data = recipe.build().unwrap();
    let fitted = data.preprocessing().unwrap();
    let json = serde_json::to_string(fitted).unwrap();
    let back: Preprocessing = serde_json::from_str(&json).unwrap();
    assert_eq!(&back, fitted);
    // Which of the two is the day is known.
    let new = |csv: Csv| csv.read().and_then(|table| back.apply(&table));
    let short = "d\n2.4.2024\n";
    let found = new(Csv::new(short.as_bytes()).types_from(&back)).unwrap();
    assert_eq!(features(&found), features(&data)[5..10]);
    let text = message(new(Csv::new(short.as_bytes())));
    assert!(text.contains("column `d`: the cells are no dates"), "{text}");
    assert!(message(new(Csv::new("e\n1\n".as_bytes()))).contains("it lacks `d`; it was not"));
    for (old, new) in [
        ("\"part\":\"year\"", "\"part\":\"days\""),
        ("\"part\":\"year\",", ""),
        (
            "\"part\":\"year\",\"transform\":{\"number\":{\"fill\":null,\"scaling\":\"none\"}}",
            "\"part\":\"year\",\"transform\":{\"hash\":{\"fill\":null,\"buckets\":3}}",
        ),
    ] {
        assert!(json.contains(old), "{json}");
        let error = serde_json::from_str::<Preprocessing>(&json.replacen(old, new, 1));
        assert!(error.is_err(), "{old} as {new}");
    }
    // Words that a model was fitted on stay words.
    let words = Csv::new("d,y\n2024-03-01,1.5\n2024-03-02,2.5\n".as_bytes()).categories(&["d"]);
    let words = words.target("y").unwrap().build().unwrap();
    let words = words.preprocessing().unwrap();
    let again = Csv::new("d\n2024-03-02\n".as_bytes()).types_from(words).read().unwrap();
    assert_eq!(features(&words.apply(&again).unwrap()), [0.0, 1.0]);
    let plain = Csv::new("d\n2024-03-02\n".as_bytes()).read().unwrap();
    let text = message(words.apply(&plain));
    assert!(text.contains("2024-03-02 is a date where a category is expected"), "{text}");
}

#[test]
fn dates_are_ordered_and_reported() {
    let cells = ["2024-03-01", "2024-03-01T00:00+02:00", "?", "2024-02-29T12:00"];
    let table = table(&cells).unwrap();
    let report = table.report(Some("y")).unwrap();
    let (kind, missing, distinct) =
        (report.columns[0].kind, report.columns[0].missing, report.columns[0].distinct);
    assert_eq!((kind, missing, distinct), (Kind::Date, 1, 3));
    let text = report.to_string();
    assert!(text.contains("date") && text.contains("2024-02-29 12:00"), "{text}");
    let recipe = table.target("y").unwrap().drop_missing();
    let (first, last) = recipe.split_by_time("d", 0.5).unwrap();
    assert_eq!((targets(&first), targets(&last)), (vec![3.5, 1.5], vec![0.5]));
    let daily: Vec<String> = (1..=28).map(|day| format!("2024-02-{day:02}")).collect();
    let daily: Vec<&str> = daily.iter().map(String::as_str).collect();
    assert_eq!(self::table(&daily).unwrap().report(None).unwrap().columns[0].suspicions, []);
}

#[test]
fn what_is_no_date_is_refused() {
    let dates = |moment: f64| Table::new(vec![TableColumn::dates("d", [Some(moment)])]);
    assert!(dates(0.0).is_ok());
    for moment in [-1e12, 1e12, f64::NAN, f64::INFINITY] {
        let text = message(dates(moment));
        assert_eq!(
            text,
            "`<memory>`, row 0, column `d`: the date is not of the years 0 to 9999; if it means that the \
             cell is missing, leave the cell empty"
        );
    }
    let text = message(table(&["2024-03-01", "2024-03-02"]).unwrap().target("d").unwrap().build());
    assert!(text.contains("column `d`: a target is numbers or words; these are dates"), "{text}");
}
