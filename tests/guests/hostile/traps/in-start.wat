;; Traps in its start function.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $begin (unreachable))
(start $begin)
(func $attack)
