;; Has initial data at both ends of 12 MiB, so that the file is small and the memory is not.
;; promised: 200
;; counted: ok
;; calls: 8
;; limits: cpu = "2s"
(memory $wide 192)
(data (memory $wide) (i32.const 0) "begin")
(data (memory $wide) (i32.const 0xbffff0) "end")
(func $attack)
