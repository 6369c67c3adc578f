# Short names for what is done every day; `just` lists them. Each line also works without just.

_default:
    @just --list

# A server on http://127.0.0.1:8080 with its data in ./data, for trying things out
dev *args:
    cargo run -- --config config/examples/laptop.toml serve {{args}}

# All tests, or one part: just test --only rust|browser|replay|crash|simulation
test *args:
    scripts/test {{args}}

# Formatting and lints
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Writes every generated file anew
gen:
    scripts/generate

# A whole cluster on this machine, until Ctrl-C
cluster *args:
    scripts/cluster {{args}}
