;; Makes header fields and keeps them all.
;; promised: 500 plugin-failed
;; counted: handles
;; logged: it trapped
;; limits: cpu = "2s"
;; form: http
(func $attack (loop $on (drop (call $fields)) (br $on)))
