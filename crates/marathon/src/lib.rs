//! Marathon: the JSON of ten generations to the model, and following one as an explicit state machine.
