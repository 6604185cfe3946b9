;; Divides by zero.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack (drop (i32.div_u (i32.const 1) (i32.load (i32.const 1024)))))
