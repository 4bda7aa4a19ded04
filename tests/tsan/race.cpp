// Races on purpose, from OpenMP threads: shows that the thread sanitizer, as the tsan preset sets it up, sees through
// OpenMP. The test passes when the race is reported.
#include <cstdio>

int main() {
    int counter = 0;
#pragma omp parallel num_threads(2)
    {
        for (int i = 0; i < 10000; ++i) {
            ++counter;
        }
    }
    std::printf("%d\n", counter);
    return 0;
}
