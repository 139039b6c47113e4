/* What the parts of the null GPU share. */
#pragma once

/* A kernel, copy or fill of this name goes to a stream: counted, never run. Returns an error code of cudart, 0 for none. */
int null_launch(const char *name, const void *stream);

/* The host waits for a stream: counted. While a stream is recorded, this is an error that spoils the recording, unless
   the stream is another one and the thread has asked for the relaxed mode. */
int null_wait(const char *name, const void *stream);

/* Whole numbers from the environment, such as NULL_GPU_MAJOR. */
int null_setting(const char *name, int usual);

int null_major(void); /* compute capability, 9.0 unless NULL_GPU_MAJOR and NULL_GPU_MINOR say otherwise */
int null_minor(void);
int null_multiprocessors(void);
int null_shared_memory(void); /* bytes that one block may ask for */
