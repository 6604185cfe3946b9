;; Calls itself in its start function until there is no stack left.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: call stack exhausted
;; limits: cpu = "2s"
(func $begin (call $begin) (call $begin))
(start $begin)
(func $attack)
