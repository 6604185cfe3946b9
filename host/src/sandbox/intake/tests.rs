use super::*;

/// The corpus of the fuzzer (`fuzz/fuzz_targets/artifact.rs`), where a panic or a hang would be this test's own.
#[test]
fn the_corpus_of_the_fuzzer_is_taken_or_refused_and_nothing_else() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/artifact");
    let (mut taken, mut refused) = (0, 0);
    for entry in std::fs::read_dir(corpus).unwrap() {
        match check(&std::fs::read(entry.unwrap().path()).unwrap()) {
            Ok(()) => taken += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}
