# The two commands of a newcomer. Everything else is plain cargo.

.PHONY: demo test packages bench

# A simulated Marathon, a node, and a story told in readable lines. ARGS="--for 20s" ends it by itself. ARGS="--nodes 3" is the
# story of three nodes on a real ZooKeeper, which is installed first.
demo: $(if $(findstring --nodes,$(ARGS)),packages)
	cargo build --release --locked --package mconn
	./target/release/mconn demo $(ARGS)

# Everything that can fail: unit, property, snapshot, contract, end-to-end tests and the rules of the house.
test: packages
	cargo test --workspace --locked

# Debian packages that building and testing need: installed when root, named otherwise.
packages:
	@tools/packages

# The figures of bench/README.md, measured here and now.
bench:
	cargo build --release --locked --package mconn --package mconn-bench
	./target/release/mconn-bench all $(ARGS)
