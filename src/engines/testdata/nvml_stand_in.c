/* Stands in for NVIDIA's management library in tests: what a machine has is what the test says. */
#include <stdio.h>
#include <string.h>

typedef struct nvmlDevice_st* nvmlDevice_t;
typedef struct {
  unsigned long long total, free, used;
} nvmlMemory_t;
typedef struct {
  unsigned int gpu, memory;
} nvmlUtilization_t;

enum {
  SUCCESS = 0,
  INVALID_ARGUMENT = 2,
  NOT_SUPPORTED = 3,
  INSUFFICIENT_SIZE = 7,
  DRIVER_NOT_LOADED = 9,
  GPU_IS_LOST = 15
};

static unsigned int device_count = 2;
static int init_answer = SUCCESS;
static int lost_device = -1;
static int running = 0;

/* For the test. */
void stand_in_set(unsigned int count, int init, int lost) {
  device_count = count;
  init_answer = init;
  lost_device = lost;
}
int stand_in_running(void) {
  return running;
}

int nvmlInit_v2(void) {
  if (init_answer == SUCCESS) ++running;
  return init_answer;
}
int nvmlShutdown(void) {
  --running;
  return SUCCESS;
}
int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = device_count;
  return SUCCESS;
}
static unsigned int number(nvmlDevice_t device) {
  return (unsigned int)(size_t)device - 1;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t* device) {
  if (index >= device_count) return INVALID_ARGUMENT;
  if ((int)index == lost_device) return GPU_IS_LOST;
  *device = (nvmlDevice_t)(size_t)(index + 1);
  return SUCCESS;
}
int nvmlDeviceGetUUID(nvmlDevice_t device, char* text, unsigned int length) {
  if (length < 41) return INSUFFICIENT_SIZE;
  snprintf(text, length, "GPU-00000000-0000-0000-0000-%012u", number(device));
  return SUCCESS;
}
int nvmlDeviceGetName(nvmlDevice_t device, char* text, unsigned int length) {
  (void)device;
  if (length < 96) return INSUFFICIENT_SIZE;
  /* As long as a name can be, without room for a terminator: a reader must not run on. */
  memset(text, 'N', length);
  return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  memory->total = 80ULL << 30;
  memory->used = (number(device) + 1ULL) << 30;
  memory->free = memory->total - memory->used;
  return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t* rates) {
  if (number(device) == 1) return NOT_SUPPORTED;
  rates->gpu = 37;
  rates->memory = 5;
  return SUCCESS;
}
int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned int* degrees) {
  (void)device;
  if (sensor != 0) return INVALID_ARGUMENT;
  *degrees = 54;
  return SUCCESS;
}
