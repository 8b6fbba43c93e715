//! What a module author uses: the trait, its context and its outcomes.
