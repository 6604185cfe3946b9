;; Calls a function through a table as if it were of another type.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(table $table funcref (elem $other))
(func $other (param i64) (result i64) (local.get 0))
(func $attack (call_indirect $table (i32.const 0)))
