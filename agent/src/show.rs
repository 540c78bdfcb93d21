//! Commands that print and exit.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use throughline_component::Kind;
use throughline_component::port::Mask;
use throughline_config::ComponentType;

use crate::assemble::{Assembled, Purpose, assemble, document, settings};
use crate::catalog::{catalog, factories};
use crate::cli::{Cli, Format, Inputs, Mode};
use crate::collector;
use crate::mask::Masker;
use crate::process_context::ProcessContext;

/// The exit code of a wrong configuration.
pub(crate) const WRONG: u8 = 2;

/// Says whether a configuration is right; with `here`, whether it fits this machine too.
pub(crate) fn validate(inputs: &Inputs, graph: bool, here: bool) -> ExitCode {
    match checked(inputs) {
        Err(errors) => complain(&errors),
        Ok((assembled, _)) if here && !assembled.here.is_empty() => complain(&assembled.here.to_string()),
        Ok((assembled, warnings)) => {
            for problem in assembled.here.iter() {
                print_error(&format!("note: on this machine: {problem}"));
            }
            warnings
                .iter()
                .chain(&assembled.notes)
                .for_each(|warning| print_error(&format!("note: {warning}")));
            say(&if graph {
                assembled.setup.plan.to_string()
            } else {
                "the configuration is right\n".to_owned()
            })
        }
    }
}

/// All that `run` does up to opening anything.
fn checked(inputs: &Inputs) -> Result<(Assembled, Vec<String>), String> {
    let (settings, warnings) = settings(inputs)?;
    let process = ProcessContext::new(&settings.service);
    Ok((assemble(settings, &process, &Purpose::Validate)?, warnings))
}

pub(crate) fn components() -> ExitCode {
    let mut text = format!("buildinfo:\n  command: throughline\n  version: {}\n", env!("CARGO_PKG_VERSION"));
    for kind in Kind::ALL {
        text.push_str(&format!("{}:\n", kind.section()));
        for factory in factories().filter(|factory| factory.kind == kind) {
            text.push_str(&format!("  - name: {}\n", factory.name));
            if !factory.aliases.is_empty() {
                text.push_str(&format!("    deprecated_names: [{}]\n", factory.aliases.join(", ")));
            }
            let names = |signals: &[throughline_otlp::Signal]| {
                signals.iter().map(|signal| signal.as_str()).collect::<Vec<_>>().join(", ")
            };
            if !factory.signals.is_empty() {
                text.push_str(&format!("    signals: [{}]\n", names(factory.signals)));
            }
            if !factory.emits.is_empty() {
                text.push_str(&format!("    emits: [{}]\n", names(factory.emits)));
            }
        }
    }
    say(&text)
}

pub(crate) fn print_config(inputs: &Inputs, mode: Mode, format: Format, validate: bool) -> ExitCode {
    if validate && let Err(errors) = checked(inputs) {
        return complain(&errors);
    }
    let find = |text: &str| Masker.mask(text);
    let mask: Option<throughline_config::Mask<'_>> = match mode {
        Mode::Redacted => Some(&find),
        Mode::Unredacted => None,
    };
    let format = match format {
        Format::Yaml => throughline_config::Format::Yaml,
        Format::Json => throughline_config::Format::Json,
    };
    match document(inputs) {
        Err(errors) => complain(&errors),
        Ok(document) => say(&document.print(&catalog(), mask, format)),
    }
}

/// Writes the reference pages.
pub(crate) fn reference(folder: &Path) -> ExitCode {
    let page = |known: &ComponentType| -> std::io::Result<()> {
        let kind = folder.join(known.kind.section());
        std::fs::create_dir_all(&kind)?;
        std::fs::write(kind.join(known.type_name).with_extension("md"), throughline_config::reference(known))
    };
    let written = catalog().iter().try_for_each(page).and_then(|()| {
        std::fs::write(folder.join("service.md"), throughline_config::service_reference())?;
        let beside = folder.parent().unwrap_or(folder).join("coming-from-the-collector.md");
        std::fs::write(beside, collector::page(&catalog()))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&format!("cannot write to {}: {error}", folder.display()));
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn completion(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "throughline", &mut script);
    say(&String::from_utf8_lossy(&script))
}

/// Prints errors and says that the configuration is wrong.
pub(crate) fn complain(errors: &str) -> ExitCode {
    print_error(errors);
    ExitCode::from(WRONG)
}

/// Prints to standard error; a closed one is not worth failing for.
pub(crate) fn print_error(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Prints to standard output. A reader that has gone away (`| head`) is no failure.
pub(crate) fn say(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Columns as wide as what stands in them.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let rows = [["A", "LONG HEAD"], ["longer", "x"]].map(|row| row.map(String::from));
        assert_eq!(table(&rows), "A       LONG HEAD\nlonger  x\n");
    }
}
