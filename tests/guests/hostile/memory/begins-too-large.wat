;; Has more memory from the start than it may have.
;; promised: 500 plugin-failed
;; counted: memory
;; logged: it trapped after it was refused more than 16777216 bytes of memory
(memory $large 400)
(func $attack)
