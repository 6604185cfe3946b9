;; Has initial data that lies outside its memory.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(memory $small 1)
(data (memory $small) (i32.const 65530) "ten bytes!")
(func $attack)
