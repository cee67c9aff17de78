//! Any bytes are refused with their place, or read as a table that can be prepared and split. The
//! first byte chooses how they are read.
#![no_main]

use ironwarp::data::{Csv, Dataset, Impute, Recipe};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, text)) = bytes.split_first() else { return };
    let mut csv = Csv::new(text);
    if choice & 1 != 0 {
        csv = csv.no_header();
    }
    if choice & 2 != 0 {
        csv = csv.delimiter(b';');
    }
    if choice & 4 != 0 {
        csv = csv.missing_words(&["nan", "?"]);
    }
    let table = match csv.read() {
        Ok(table) => table,
        Err(error) => {
            assert!(error.to_string().starts_with("`<memory>`, "));
            return;
        }
    };
    let name = table.columns()[table.columns().len() - 1].name().to_string();
    let mut recipe: Recipe = table.target(&name).expect("the column is there");
    if choice & 8 != 0 {
        recipe = recipe.standardize().standardize_target().impute(Impute::Mean);
    }
    if choice & 16 != 0 {
        recipe = recipe.min_max().ordinal().impute(Impute::MostFrequent);
    }
    if choice & 32 != 0 {
        recipe = recipe.drop_missing();
    }
    if choice & 64 != 0 {
        recipe = recipe.impute(Impute::Neighbours(2)).polynomial(&[]).whiten(&[], None);
    }
    if choice & 128 != 0 {
        recipe = recipe.target_encode(1).cyclic_dates();
    }
    if let Ok((train, test)) = recipe.split(0.5, u64::from(choice)) {
        check(&train);
        check(&test);
        assert_eq!(train.preprocessing(), test.preprocessing());
    }
});

fn check(data: &Dataset) {
    let features = data.preprocessing().expect("it came from a table").feature_names();
    assert_eq!(data.features(), features.len());
    assert!(!data.is_empty());
    data.fingerprint().expect("it is in memory");
}
