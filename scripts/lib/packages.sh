# Sourced by install_deps.sh: what comes from Debian and from PyPI, by what it is for.

# Compiler and build.
PACKAGES_BUILD="g++ meson ninja-build pkg-config git ca-certificates curl
  python3 python3-venv python3-setuptools
  libucx-dev libibverbs-dev librdmacm-dev libzmq3-dev cppzmq-dev
  libboost1.81-dev libboost-program-options1.81-dev
  libfmt-dev libspdlog-dev nlohmann-json3-dev libyaml-cpp-dev libxxhash-dev libexpected-dev libssl-dev
  prometheus-cpp-dev libbenchmark-dev libgrpc++-dev libprotobuf-dev protobuf-compiler
  protobuf-compiler-grpc libsqlite3-dev"

# The compiler of text/rust, where no cargo of 1.85 or later is on PATH. Debian 12's rustc is 1.63;
# this is the one that Debian itself keeps new enough for its browsers.
PACKAGES_RUST="cargo-web rustc-web"

# Tests in C++.
PACKAGES_TEST="libgtest-dev libgmock-dev libmsgpackc2 procps util-linux redis-server openssl"

# Benchmarks: the load of `scripts/bench sim`.
PACKAGES_BENCH="wrk"

# Fuzz targets: g++ has no libFuzzer.
PACKAGES_FUZZ="clang-19 libfuzzer-19-dev libclang-rt-19-dev"

# Tools from PyPI in .venv-tools: formatting and findings change with the version, so it is pinned.
TOOLS="clang-format==23.1.3 clang-tidy==23.1.4 lizard==1.24.3 pytest==9.2.0
  ruff==0.17.6 pyzmq==27.3.0 msgpack==1.2.4 msgspec==0.22.0 grpcio==1.85.1 pyyaml==6.0.3
  openai==3.54.0 anthropic==2.12.0"
