;; Opens its key-value store over and over, and lets no handle go.
;; promised: 500 plugin-failed
;; counted: handles
;; logged: it trapped
;; form: lean
;; limits: cpu = "2s"
;; grants: keyvalue = true
(func $attack (loop $on (call $open (i32.const 1024) (i32.const 0) (i32.const 64)) (br $on)))
