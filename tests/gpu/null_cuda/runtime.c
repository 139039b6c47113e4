/* libcudart for a GPU that is not there: torch's own CUDA code runs, and every kernel is counted by its name.

   Device memory is host memory. Copies to and from the host copy; kernels, fills and large copies on the device do
   nothing, so that what the device would have computed is zero, and costs the host no time. Small copies on the device
   copy: DDP compares the numbers of parameters of its ranks that way.
   CUDA graphs are recorded with the number of their nodes. While a stream is recorded, what CUDA refuses is refused
   here, too: waits of the host, and work on the default stream. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define __CUDA_API_VERSION_INTERNAL
#include "null.h"
#include <driver_types.h>
#include <vector_types.h>

/* ---- settings */

int null_setting(const char *name, int usual) {
  const char *value = getenv(name);
  return value ? atoi(value) : usual;
}
int null_major(void) { return null_setting("NULL_GPU_MAJOR", 9); }
int null_minor(void) { return null_setting("NULL_GPU_MINOR", 0); }
int null_multiprocessors(void) { return null_major() >= 9 ? 132 : null_major() == 8 ? 108 : 40; }
int null_shared_memory(void) { return null_major() >= 9 ? 232448 : null_major() == 8 ? 166912 : 65536; }

/* ---- what is counted, read from Python (null_gpu.py) */

enum { LAUNCHES, GRAPH_LAUNCHES, REPLAYED_NODES, WAITS, ALLOCATIONS, CAPTURES, TOTALS };
static long long totals[TOTALS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define NAMES 8192
static struct {
  const char *name;
  long long times;
} tally[NAMES]; /* launches and recorded nodes by name */

long long null_total(int which) { return totals[which]; }
const char *null_name(int slot) { return slot < NAMES ? tally[slot].name : 0; }
long long null_times(int slot) { return tally[slot].times; }
int null_names(void) { return NAMES; }
void null_reset(void) {
  memset(totals, 0, sizeof totals);
  memset(tally, 0, sizeof tally);
}
static void count(const char *name) {
  size_t slot = ((uintptr_t)name >> 3) * 0x9E3779B97F4A7C15ull >> 51; /* 13 bits */
  while (tally[slot].name && tally[slot].name != name) slot = (slot + 1) % NAMES;
  tally[slot].name = name;
  tally[slot].times++;
}

/* ---- errors, and failures that a test orders */

static __thread cudaError_t last_error;
static cudaError_t error(cudaError_t code) { return last_error = code; }
cudaError_t cudaGetLastError(void) {
  cudaError_t code = last_error;
  last_error = cudaSuccess;
  return code;
}
cudaError_t cudaPeekAtLastError(void) { return last_error; }
const char *cudaGetErrorName(cudaError_t code) { return "error of the null GPU"; }
const char *cudaGetErrorString(cudaError_t code) {
  switch (code) {
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureImplicit: return "operation would make the legacy stream depend on a capturing stream";
    case cudaErrorLaunchFailure: return "the null GPU was told to fail here";
    default: return "an error of the null GPU";
  }
}

enum { FAIL_LAUNCH, FAIL_CAPTURE, FAIL_INSTANTIATE, FAIL_REPLAY, FAILURES };
static int calls_until_failure[FAILURES]; /* 0: never */
void null_fail(int what, int call) { calls_until_failure[what] = call; }
static int fails(int what) { return calls_until_failure[what] && !--calls_until_failure[what]; }

/* ---- capture */

static int capturing, spoilt;
static const void *recorded; /* the stream; others that it might fork to are not followed */
static unsigned long long capture_id;
static long long nodes;
static __thread enum cudaStreamCaptureMode strictness = cudaStreamCaptureModeGlobal;

int null_launch(const char *name, const void *stream) {
  if (fails(FAIL_LAUNCH)) return error(cudaErrorLaunchFailure);
  if (capturing && !stream) { /* the legacy default stream */
    spoilt = 1;
    return error(cudaErrorStreamCaptureImplicit);
  }
  pthread_mutex_lock(&lock); /* autograd launches from a thread of its own */
  count(name);
  if (capturing && stream == recorded)
    nodes++;
  else
    totals[LAUNCHES]++;
  pthread_mutex_unlock(&lock);
  return 0;
}
int null_wait(const char *name, const void *stream) {
  if (capturing && (stream == recorded || strictness != cudaStreamCaptureModeRelaxed)) {
    spoilt = 1;
    return error(cudaErrorStreamCaptureUnsupported);
  }
  totals[WAITS]++;
  count(name);
  return 0;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
  if (!stream) return error(cudaErrorStreamCaptureUnsupported);
  capturing = 1, recorded = stream, spoilt = 0, nodes = 0, capture_id++;
  return 0;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  capturing = 0, *graph = 0;
  if (spoilt || fails(FAIL_CAPTURE)) return error(cudaErrorStreamCaptureInvalidated);
  long long *made = malloc(64);
  *made = nodes;
  *graph = (cudaGraph_t)made;
  totals[CAPTURES]++;
  return 0;
}
static enum cudaStreamCaptureStatus status_of(cudaStream_t stream) {
  return capturing && stream == recorded ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
  *status = status_of(stream);
  return 0;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, enum cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *graph, const cudaGraphNode_t **before, const void **edges, size_t *n) {
  if (status) *status = status_of(stream);
  if (id) *id = capture_id;
  if (graph) *graph = (cudaGraph_t)&capture_id;
  if (before) *before = 0;
  if (n) *n = 0;
  return 0;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) {
  enum cudaStreamCaptureMode before = strictness;
  strictness = *mode, *mode = before;
  return 0;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *list, size_t *n) {
  *n = *(long long *)graph;
  return 0;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
  if (fails(FAIL_INSTANTIATE)) return error(cudaErrorLaunchFailure);
  long long *made = malloc(64);
  *made = *(long long *)graph;
  *exec = (cudaGraphExec_t)made;
  return 0;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (fails(FAIL_REPLAY)) return error(cudaErrorLaunchFailure);
  totals[GRAPH_LAUNCHES]++;
  totals[REPLAYED_NODES] += *(long long *)exec;
  return 0;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  free(graph);
  return 0;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  free(exec);
  return 0;
}
cudaError_t cudaUserObjectCreate(cudaUserObject_t *object, void *p, void *destroy, unsigned n, unsigned flags) {
  *object = malloc(64);
  return 0;
}

/* ---- kernels: the names that nvcc's start-up code registers, and the ways to launch them */

#define KERNELS (1 << 19)
static struct {
  const void *function;
  const char *name;
} kernels[KERNELS];
static size_t slot_of(const void *function) {
  size_t slot = ((uintptr_t)function >> 4) * 0x9E3779B97F4A7C15ull >> 45; /* 19 bits */
  while (kernels[slot].function && kernels[slot].function != function) slot = (slot + 1) % KERNELS;
  return slot;
}
static const char *name_of(const void *function) {
  const char *name = kernels[slot_of(function)].name;
  return name ? name : "an unregistered kernel";
}
void __cudaRegisterFunction(void **handle, const char *function, char *device_function, const char *name, int threads,
                            void *a, void *b, void *c, void *d, int *e) {
  size_t slot = slot_of(function);
  kernels[slot].function = function, kernels[slot].name = name;
}
void **__cudaRegisterFatBinary(void *binary) {
  void **handle = malloc(sizeof(void *));
  *handle = binary;
  return handle;
}
void __cudaRegisterFatBinaryEnd(void **handle) {}
void __cudaUnregisterFatBinary(void **handle) {}
void __cudaRegisterVar(void **handle, char *a, char *b, const char *name, int c, size_t size, int d, int e) {}
char __cudaInitModule(void **handle) { return 1; }

static __thread struct {
  dim3 grid, block;
  size_t shared;
  void *stream;
} configurations[8];
static __thread int depth;
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void *stream) {
  int i = depth++ & 7;
  configurations[i].grid = grid, configurations[i].block = block;
  configurations[i].shared = shared, configurations[i].stream = stream;
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream) {
  int i = --depth & 7;
  *grid = configurations[i].grid, *block = configurations[i].block;
  *shared = configurations[i].shared, *(void **)stream = configurations[i].stream;
  return 0;
}
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *function) {
  *kernel = (cudaKernel_t)function;
  return 0;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared,
                               cudaStream_t stream) {
  return null_launch(name_of(kernel), stream);
}
cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared,
                             cudaStream_t stream) {
  return null_launch(name_of(function), stream);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **arguments) {
  return null_launch(name_of(function), config->stream);
}
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *a, const void *function) {
  memset(a, 0, sizeof *a);
  a->maxThreadsPerBlock = 1024, a->numRegs = 32, a->maxDynamicSharedSizeBytes = 49152;
  a->ptxVersion = a->binaryVersion = null_major() * 10 + null_minor();
  return 0;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, const void *function, int block,
                                                                   size_t shared, unsigned flags) {
  *n = 2;
  return 0;
}

/* ---- the device */

static __thread int device;
cudaError_t cudaGetDeviceCount(int *n) {
  *n = null_setting("NULL_GPU_COUNT", 1);
  return 0;
}
cudaError_t cudaGetDevice(int *d) {
  *d = device;
  return 0;
}
cudaError_t cudaSetDevice(int d) {
  device = d;
  return 0;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int d) {
  memset(p, 0, sizeof *p);
  /* inductor keeps compiled code by this name: no capability may run the kernels of another one */
  snprintf(p->name, sizeof p->name, "Null GPU %d.%d", null_major(), null_minor());
  p->major = null_major(), p->minor = null_minor(), p->multiProcessorCount = null_multiprocessors();
  p->totalGlobalMem = 16ull << 30, p->l2CacheSize = 50 << 20, p->totalConstMem = 65536, p->memoryBusWidth = 5120;
  p->sharedMemPerBlock = 49152, p->sharedMemPerBlockOptin = null_shared_memory();
  p->sharedMemPerMultiprocessor = null_shared_memory() + 1024;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536, p->warpSize = 32, p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = null_major() == 7 ? 1024 : 2048, p->maxBlocksPerMultiProcessor = 32;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647, p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->textureAlignment = 512, p->asyncEngineCount = 3;
  p->canMapHostMemory = p->concurrentKernels = p->unifiedAddressing = p->managedMemory = p->cooperativeLaunch = 1;
  return 0;
}
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int d) {
  struct cudaDeviceProp p;
  cudaGetDeviceProperties(&p, d);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = p.sharedMemPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = p.sharedMemPerBlockOptin; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = p.sharedMemPerMultiprocessor; break;
    case cudaDevAttrWarpSize: *value = p.warpSize; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = p.maxBlocksPerMultiProcessor; break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor: *value = p.regsPerBlock; break;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
    case cudaDevAttrMaxGridDimX: *value = p.maxGridSize[0]; break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: *value = p.maxGridSize[1]; break;
    case cudaDevAttrClockRate: *value = 1980000; break;
    default: *value = 1;
  }
  return 0;
}
cudaError_t cudaDriverGetVersion(int *version) {
  *version = 13000;
  return 0;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = 13000;
  return 0;
}
cudaError_t cudaDeviceCanAccessPeer(int *can, int a, int b) {
  *can = 1;
  return 0;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int *lowest, int *highest) {
  *lowest = 0, *highest = -5;
  return 0;
}
cudaError_t cudaDeviceGetPCIBusId(char *name, int n, int d) {
  snprintf(name, n, "0000:00:0%d.0", d);
  return 0;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int d) {
  *pool = malloc(64);
  return 0;
}
static int nothing(void) { return 0; }
cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version,
                                             unsigned long long flags, int *status) {
  *function = dlsym(RTLD_DEFAULT, name); /* driver.c */
  if (!*function) *function = (void *)nothing;
  if (status) *status = 0;
  return 0;
}

/* ---- memory: pages that exist once somebody writes to them */

#define BLOCKS (1 << 14)
static struct {
  char *start;
  size_t size;
  int on_host;
} blocks[BLOCKS];
static int blocks_used;

static cudaError_t take(void **p, size_t size, int on_host) {
  size = size ? size : 1;
  *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  pthread_mutex_lock(&lock);
  if (*p == MAP_FAILED || blocks_used == BLOCKS) abort();
  blocks[blocks_used].start = *p, blocks[blocks_used].size = size, blocks[blocks_used++].on_host = on_host;
  totals[ALLOCATIONS]++;
  pthread_mutex_unlock(&lock);
  return 0;
}
static cudaError_t give_back(void *p) {
  pthread_mutex_lock(&lock);
  for (int i = 0; p && i < blocks_used; i++)
    if (blocks[i].start == p) {
      munmap(p, blocks[i].size);
      blocks[i] = blocks[--blocks_used];
      break;
    }
  pthread_mutex_unlock(&lock);
  return 0;
}
cudaError_t cudaMalloc(void **p, size_t size) { return take(p, size, 0); }
cudaError_t cudaMallocAsync(void **p, size_t size, cudaStream_t stream) { return take(p, size, 0); }
cudaError_t cudaHostAlloc(void **p, size_t size, unsigned flags) { return take(p, size, 1); }
cudaError_t cudaFree(void *p) { return give_back(p); }
cudaError_t cudaFreeAsync(void *p, cudaStream_t stream) { return give_back(p); }
cudaError_t cudaFreeHost(void *p) { return give_back(p); }
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *all) {
  *free_bytes = 14ull << 30, *all = 16ull << 30;
  return 0;
}
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *a, const void *p) {
  memset(a, 0, sizeof *a);
  a->type = cudaMemoryTypeUnregistered;
  for (int i = 0; i < blocks_used; i++)
    if ((char *)p >= blocks[i].start && (char *)p < blocks[i].start + blocks[i].size) {
      a->type = blocks[i].on_host ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
      a->devicePointer = a->hostPointer = (void *)p;
    }
  return 0;
}

static const char *name_of_copy(enum cudaMemcpyKind kind) {
  return kind == cudaMemcpyHostToDevice ? "copy to the device"
         : kind == cudaMemcpyDeviceToHost ? "copy to the host"
                                          : "copy on the device";
}
static void copy_rows(char *to, size_t to_pitch, const char *from, size_t from_pitch, size_t width, size_t rows,
                      enum cudaMemcpyKind kind) {
  if (capturing || (kind == cudaMemcpyDeviceToDevice && width * rows > 4096)) return;
  for (size_t i = 0; i < rows; i++) memcpy(to + i * to_pitch, from + i * from_pitch, width);
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind) {
  int code = null_wait("cudaMemcpy", recorded);
  if (!code) copy_rows(to, size, from, size, size, 1, kind);
  return code;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream) {
  copy_rows(to, size, from, size, size, 1, kind);
  return null_launch(name_of_copy(kind), stream);
}
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, enum cudaMemcpyKind kind, cudaStream_t stream) {
  copy_rows(to, to_pitch, from, from_pitch, width, height, kind);
  return null_launch(name_of_copy(kind), stream);
}
cudaError_t cudaMemset(void *p, int value, size_t size) { return null_launch("fill", (void *)1); }
cudaError_t cudaMemsetAsync(void *p, int value, size_t size, cudaStream_t stream) { return null_launch("fill", stream); }

/* ---- streams and events: the device is always done */

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority) {
  *stream = malloc(64);
  return 0;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t *stream) { return cudaStreamCreateWithPriority(stream, 0, 0); }
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int *priority) {
  *priority = 0;
  return 0;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return null_wait("cudaStreamSynchronize", stream); }
cudaError_t cudaDeviceSynchronize(void) { return null_wait("cudaDeviceSynchronize", recorded); }
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return null_wait("cudaEventSynchronize", 0); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  *event = malloc(64);
  return 0;
}
cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t a, cudaEvent_t b) {
  *milliseconds = 0.01f;
  return 0;
}
