/* Replays corpus files through a fuzz target's entry point, in builds without libFuzzer.
 * Arguments: files and folders. A folder that is missing or empty is an error: a corpus that is
 * not there tests nothing. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_LEN_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rbe");
    uint8_t *data = malloc(INPUT_LEN_MAX), *exact = NULL;
    size_t len = 0;
    int r = -1;

    if (!f || !data) {
        perror(path);
        goto done;
    }
    len = fread(data, 1, INPUT_LEN_MAX, f);
    /* A block of the very length: a read past the end is then seen by ASan. */
    exact = malloc(len ? len : 1);
    if (ferror(f) || !exact) {
        perror(path);
        goto done;
    }
    memcpy(exact, data, len);
    r = LLVMFuzzerTestOneInput(exact, len);
done:
    if (f)
        fclose(f);
    free(data);
    free(exact);
    return r;
}

static int replay_folder(const char *path, unsigned *count)
{
    struct dirent **names = NULL;
    int n = scandir(path, &names, NULL, alphasort), r = 0;

    if (n < 0) {
        perror(path);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        char file[4096];

        if (names[i]->d_name[0] != '.' && r == 0) {
            snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
            r = replay_file(file);
            ++*count;
        }
        free(names[i]);
    }
    free(names);
    return r;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        struct stat st;
        int r;

        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            r = replay_folder(argv[i], &count);
        } else {
            r = replay_file(argv[i]);
            count++;
        }
        if (r != 0)
            return 1;
    }
    fprintf(stderr, "%u inputs replayed\n", count);
    return count ? 0 : 1;
}
