//! Where presets, inventories and the journal live: the trait, the memory store and the contract suite.
