;; Runs into an instruction that is never to be reached.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack (unreachable))
