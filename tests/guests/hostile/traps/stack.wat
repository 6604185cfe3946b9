;; Calls itself until there is no stack left.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: call stack exhausted
;; limits: cpu = "2s"
(func $attack (call $attack) (call $attack))
