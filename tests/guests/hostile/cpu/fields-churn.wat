;; Makes header fields and drops them, without pause.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
;; form: http
(func $attack (loop $on (call $drop-fields (call $fields)) (br $on)))
