//! The modules that mconn ships, and finding the ones that an operator asked for.
//!
//! **Owns** HelloWorld and Test, which behave as the original's modules of these names (spec/mconn.md sections 6.3 and
//! 6.4), and the search in the module folder. **Comes in:** names from MCONN_MODULE_START and the folder
//! MCONN_MODULE_PATH. **Goes out:** values of the trait `Module`. **Never:** queue or store; a module sees neither.
//!
//! ```text
//!   MCONN_MODULE_START = "mconn-helloworld-master, Test"
//!        |                       |
//!        |   <MODULE_PATH>/mconn-helloworld-master/package.json  "name": "HelloWorld"
//!        +--> find() ------------+----> HelloWorld, Test
//! ```

mod greet;
mod hello_world;
mod registry;
mod test;

pub use hello_world::HelloWorld;
pub use registry::{Delays, FindError, Found, find};
pub use test::TestModule;
