//! What things cost, for estimates.

use weir_model::PriceTable;

use crate::args::PriceArgs;
use crate::error::Error;

/// Bytes of a price table.
const MAX_BYTES: u64 = 64 << 10;

/// The prices of the file that is named, or of the text that is given in its place, where there is no place for files;
/// those that are built in without one, and for what it leaves out.
pub(crate) fn read(args: &PriceArgs) -> Result<PriceTable, Error> {
    let Some(file) = &args.prices else {
        return Ok(PriceTable::default());
    };
    if file.contains('=') {
        return parse(file).map_err(|problem| Error::Usage(format!("the prices: {problem}")));
    }
    let wrong = |problem: &dyn std::fmt::Display| Error::Usage(format!("the prices in {file}: {problem}"));
    let size = std::fs::metadata(file).map_err(|error| wrong(&error))?.len();
    if size > MAX_BYTES {
        return Err(wrong(&format_args!("more than {MAX_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let table = parse(&text).map_err(|problem| wrong(&problem))?;
    Ok(table)
}

fn parse(text: &str) -> Result<PriceTable, String> {
    let table: PriceTable = toml::from_str(text).map_err(|error| error.to_string())?;
    table.check().map_err(|error| error.to_string())?;
    if table != PriceTable::default() && table.version == PriceTable::default().version {
        return Err("other prices than the built-in ones need a `version` of their own".to_owned());
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_text_or_in_a_file() {
        let prices = |text: &str| {
            read(&PriceArgs {
                prices: Some(text.to_owned()),
            })
        };
        let text = "version = \"ours-1\"\nvcpu_hour = 0.01";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prices.toml");
        std::fs::write(&file, text).unwrap();
        assert_eq!(prices(text).unwrap().vcpu_hour, 0.01);
        assert_eq!(prices(file.to_str().unwrap()).unwrap(), prices(text).unwrap());
        for (wrong, said) in [
            ("version = 1", "the prices: "),
            ("nowhere.toml", "the prices in nowhere.toml: "),
        ] {
            let error = prices(wrong).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn a_table_says_what_differs_and_has_a_version_of_its_own() {
        let table = parse("version = \"ours-1\"\nvcpu_hour = 0.01\ncurrency = \"EUR\"").unwrap();
        assert_eq!((table.vcpu_hour, table.currency.as_str()), (0.01, "EUR"));
        assert_eq!(table.memory_gib_hour, PriceTable::default().memory_gib_hour);
        assert_eq!(parse("").unwrap(), PriceTable::default());
        for wrong in [
            "vcpu_hour = 0.01",
            "version = \"x\"\nvcpu_hour = -1",
            "version = \"x\"\ncpu = 1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
