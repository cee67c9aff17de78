# The menu. Every entry is a plain command; without `just`, copy the line.

# list the entries
default:
    @just --list

# format and lints, the quick look before a commit
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-features --all-targets -- -D warnings

# every test and doc test; arguments choose some: `just test --test tidy`
test *arguments:
    cargo test --workspace --all-features {{arguments}}

# lints alone, mending what can be mended
lint:
    cargo clippy --workspace --all-features --all-targets --fix --allow-dirty --allow-staged
    cargo fmt --all

# the documentation, warnings refused
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --all-features --no-deps

# every example in quick form: `just examples --device cpu`
examples *arguments:
    cargo run --release --example digits -- --quick {{arguments}}
    cargo run --release --example linear_regression -- --quick {{arguments}}
    cargo run --release --example custom -- --quick {{arguments}}

# the examples that read data of your own: a folder of IDX files, a CSV file
examples-with-data mnist housing *arguments:
    cargo run --release --example mnist -- --data {{mnist}} --quick {{arguments}}
    cargo run --release --example housing -- --data {{housing}} --quick {{arguments}}

# the benchmarks; arguments choose some: `just bench gemm`
bench *arguments:
    cargo bench {{arguments}}

# instructions that a step of W2 takes (needs valgrind, which knows AVX2 at most): the difference of 8
# and 24 epochs of 64 steps
instructions:
    #!/usr/bin/env bash
    set -euo pipefail
    program=$(cargo bench --bench instructions --no-run 2>&1 | sed -n 's/.*(\(.*\))$/\1/p')
    count() { valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" 2>&1 | sed -n 's/.*Collected : //p'; }
    echo "$(( ($(count 24) - $(count 8)) / (16 * 64) )) instructions a step of W2, on one thread"

# one folder that tests and measures a machine with a card and without Rust: `./run.sh` there; a
# data folder adds MNIST (mnist-t10k/) and housing (housing/housing.csv) for the examples
gpu-bundle *data:
    cargo run -q -p xtask -- gpu-bundle {{data}}

# the figures of the house
size:
    cargo run -q -p xtask -- size

# make the PyTorch fixtures anew (the first run installs PyTorch, outside of the repository)
fixtures *arguments:
    tests/fixtures/make.sh {{arguments}}

# accept or refuse changed snapshots, one by one (needs cargo-insta)
snapshots:
    cargo insta review

# fuzz one target for some seconds (needs cargo-fuzz and a nightly toolchain); five seconds or an allocation of so many MiB is a crash (images: 512, since 50 million pixels are allowed)
fuzz target seconds="60" megabytes="64":
    python3 fuzz/seeds.py
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}} -max_len=1024 -timeout=5 -rss_limit_mb=1024 -malloc_limit_mb={{megabytes}}

# licences, sources and doubled crates (needs cargo-deny)
deny:
    cargo deny check bans licenses sources

# what every change must pass
ci:
    .ci/run

# what takes longer: optimised tests, all faults of the driver, all kernels under sanitizers, the examples in full, fixtures compared, each fuzz target
nightly seconds="600":
    IRONWARP_KERNELS=all IRONWARP_REQUIRE_NVRTC=1 cargo test --release --test kernels -- --nocapture
    cargo test --workspace --all-features --release
    # Lines with `counted:` go into docs/nightly.md.
    cargo test --release --test ops --test planted --test cuda_bits --test cuda_faults --test cuda_ops --test cuda_sanitizers --test cuda_steps --test messy_table -- --include-ignored --nocapture
    cargo run --release --example digits
    cargo run --release --example linear_regression
    cargo run --release --example custom
    tests/fixtures/make.sh --check
    for target in $(cargo +nightly fuzz list); do just fuzz "$target" {{seconds}} 512 || exit 1; done
