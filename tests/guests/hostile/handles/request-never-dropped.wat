;; Answers as it should, and keeps its request, a timer and spare fields for ever.
;; promised: 200
;; counted: ok
;; form: http
;; calls: 20
(func $attack
    (drop (call $subscribe (i64.const -1)))
    (drop (call $fields)))
