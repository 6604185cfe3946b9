;; Turns a number that is none into an integer.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack (drop (i32.trunc_f64_s (f64.div (f64.const 0) (f64.convert_i32_u (i32.load (i32.const 1024)))))))
