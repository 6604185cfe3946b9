;; Offers room for its request where it has no memory.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: lean
(func $realloc (param i32 i32 i32 i32) (result i32) (i32.const -16))
(func $attack)
