;; Calls an element of a table that holds nothing.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(table $table 10 funcref)
(func $attack (call_indirect $table (i32.const 3)))
