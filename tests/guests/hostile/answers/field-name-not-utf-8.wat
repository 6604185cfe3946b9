;; Gives a header field whose name is not UTF-8.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: lean
(data (i32.const 40) "\c3\28")
(func $attack)
(func $answer (result i32)
    (i32.store16 (i32.const 4) (i32.const 200))
    (i32.store (i32.const 8) (i32.const 1024))
    (i32.store (i32.const 12) (i32.const 1))
    (i32.store (i32.const 1024) (i32.const 40))
    (i32.store (i32.const 1028) (i32.const 2))
    (i32.const 0))
