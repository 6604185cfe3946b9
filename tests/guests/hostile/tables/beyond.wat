;; Calls an element beyond a table's end.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(table $table 10 funcref)
(func $attack (call_indirect $table (i32.const 0x7fffffff)))
