//! The types that follow from the table of limits: a field, and a name, for each row.

/// The types `Limits`, `PerLimit` and `Limit`, from rows of `Name field: type { columns of the row }`.
macro_rules! limits {
    ($($name:ident $field:ident: $type:ty {
        name: $text:literal,
        default: $default:expr,
        least: $least:expr,
        most: $most:expr,
        key: $key:literal,
        $($column:ident: $value:expr,)*
    })*) => {
        /// The limits of one plugin.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $(#[doc = $key] pub $field: $type,)*
            /// The limit `response-body` of a streamed answer. None unless the limit, or a ceiling of it, was set.
            pub streamed_response_body: Option<u64>,
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)* streamed_response_body: None }
            }
        }

        impl Limits {
            /// The limit of this name, in the smallest part of its unit.
            pub fn get(&self, limit: Limit) -> u64 {
                match limit {
                    $(Limit::$name => Quantity::parts(self.$field),)*
                }
            }

            /// Sets the limit of this name, in the smallest part of its unit.
            pub fn set(&mut self, limit: Limit, parts: u64) {
                match limit {
                    $(Limit::$name => self.$field = Quantity::from_parts(parts),)*
                }
            }
        }

        /// A value for each limit.
        #[derive(Debug, Default)]
        pub struct PerLimit<T> {
            $($field: T,)*
        }

        impl<T> PerLimit<T> {
            /// The value for this limit.
            pub fn get(&self, limit: Limit) -> &T {
                match limit {
                    $(Limit::$name => &self.$field,)*
                }
            }

            /// The value for this limit, to be changed.
            pub fn get_mut(&mut self, limit: Limit) -> &mut T {
                match limit {
                    $(Limit::$name => &mut self.$field,)*
                }
            }
        }

        /// The name of a limit of plugins.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Limit {
            $(#[doc = $key] $name,)*
        }

        impl Limit {
            /// Every limit, in the table's order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The limit as the site file, metrics and problem types name it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The limit's row of the table.
            pub fn row(self) -> Row {
                match self {
                    $(Self::$name => Row {
                        name: $text,
                        name_as_code: concat!("`", $text, "`"),
                        unit: <$type as Quantity>::UNIT,
                        least: <$type as Quantity>::parts($least),
                        most: <$type as Quantity>::parts($most),
                        key: $key,
                        $($column: $value,)*
                    },)*
                }
            }
        }
    };
}

pub(super) use limits;
