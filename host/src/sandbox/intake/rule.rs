//! The parts of a component that are bounded, and their bounds.

use std::fmt;

/// A part of a component that is bounded. The bound holds for the whole file, unless the rule says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Components and modules inside one another.
    Nesting,
    /// Components, nested ones.
    Components,
    /// Core modules.
    Modules,
    /// Everything in a component, and again for each time that it is instantiated.
    Expansion,
    /// Instances of components and of modules.
    Instances,
    /// The arguments of instances, and the exports that they are made from.
    Arguments,
    /// Aliases.
    Aliases,
    /// Functions lifted or lowered, and the component model's own.
    Canonicals,
    /// Types of components, their fields, cases and declarations.
    Types,
    /// Types of core modules.
    CoreTypes,
    /// Parameters and results of one core function or block.
    Signature,
    /// Imports of components.
    Imports,
    /// Exports of components.
    Exports,
    /// Bytes of one name of a component's import or export.
    Name,
    /// Imports of core modules.
    CoreImports,
    /// Exports of core modules.
    CoreExports,
    /// Functions of core modules.
    Functions,
    /// Globals of core modules.
    Globals,
    /// Memories and tables of core modules.
    Memories,
    /// Data and element segments of core modules.
    Segments,
    /// Elements of element segments.
    Elements,
    /// Bytes of one function.
    Body,
    /// Locals of one function, its parameters among them.
    Locals,
    /// Values that one function has on its stack at once.
    Operands,
    /// Blocks of one function inside one another.
    Blocks,
}

impl Rule {
    /// Every rule there is.
    pub const ALL: [Self; 25] = [
        Self::Nesting,
        Self::Components,
        Self::Modules,
        Self::Expansion,
        Self::Instances,
        Self::Arguments,
        Self::Aliases,
        Self::Canonicals,
        Self::Types,
        Self::CoreTypes,
        Self::Signature,
        Self::Imports,
        Self::Exports,
        Self::Name,
        Self::CoreImports,
        Self::CoreExports,
        Self::Functions,
        Self::Globals,
        Self::Memories,
        Self::Segments,
        Self::Elements,
        Self::Body,
        Self::Locals,
        Self::Operands,
        Self::Blocks,
    ];

    /// The rule's name.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The bound. The number behind each is the most that CPython (componentize-py), StarlingMonkey
    /// (componentize-js), QuickJS, TinyGo or Rust has of the part.
    pub fn most(self) -> u64 {
        self.row().1
    }

    fn row(self) -> (&'static str, u64) {
        match self {
            Self::Nesting => ("nesting", 16),              // 3
            Self::Components => ("components", 256),       // 4; one costs the compiler 200 KiB
            Self::Modules => ("modules", 256),             // 14
            Self::Expansion => ("expansion", 100_000),     // 4,000
            Self::Instances => ("instances", 1000),        // 72
            Self::Arguments => ("arguments", 50_000),      // 1,541
            Self::Aliases => ("aliases", 50_000),          // 1,468
            Self::Canonicals => ("canonicals", 10_000),    // 203
            Self::Types => ("types", 50_000),              // 1,630
            Self::CoreTypes => ("core-types", 50_000),     // 1,121
            Self::Signature => ("signature", 100),         // 31
            Self::Imports => ("imports", 1000),            // 49
            Self::Exports => ("exports", 1000),            // 22
            Self::Name => ("name", 500),                   // 45
            Self::CoreImports => ("core-imports", 50_000), // 2,372
            Self::CoreExports => ("core-exports", 50_000), // 4,227
            Self::Functions => ("functions", 150_000),     // 13,457; one costs the compiler 60 µs and 7 KiB
            Self::Globals => ("globals", 50_000),          // 874
            Self::Memories => ("memories", 100),           // 4
            Self::Segments => ("segments", 200_000),       // 67,575
            Self::Elements => ("elements", 100_000), // 7,844; one that is passive costs each instance 60 to 95 ns
            Self::Body => ("body", 2 << 20),         // 426,843
            Self::Locals => ("locals", 10_000),      // 271; 20,000 that live at once cost 13 s
            Self::Operands => ("operands", 1000),    // 64; 20,000 cost 15 s
            Self::Blocks => ("blocks", 10_000),      // 782; 60,000 cost 5 s
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
